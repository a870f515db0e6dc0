"""Read model `assets`: what an account's pictures are and where their bytes lie; uploads and results alike."""

from collections.abc import Sequence

from projections.rows import Logged, NewAsset, Rows, rows_of
from schemas.commands import StoredObject
from schemas.events import AssetRegistered, Event, JobSucceeded

NAME = "assets"


def fold_assets(batch: Sequence[Logged]) -> Rows:
    """New assets."""
    new: list[NewAsset] = []
    for logged in batch:
        event, data = logged.event, logged.event.data
        if type(data) is AssetRegistered:
            new.append(_asset(event, data.asset, data.number, data.object, sealed=data.sealed))
        elif type(data) is JobSucceeded:
            new.append(_asset(event, data.asset, data.number, data.result, job=data.job))
    return rows_of(new)


def _asset(
    event: Event, asset: str, number: int, stored: StoredObject, *, sealed: str | None = None, job: str | None = None
) -> NewAsset:
    return NewAsset(
        account=event.account,
        asset=asset,
        number=number,
        key=stored.key,
        bytes=stored.bytes,
        sha256=stored.sha256,
        format=stored.format,
        width=stored.width,
        height=stored.height,
        created_ms=event.time_ms,
        position=event.position,
        sealed=sealed,
        job=job,
    )
