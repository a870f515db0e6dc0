"""What several translations need: a checked job, pictures of a form as assets, and taking them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request

from infra.http.problems import Problem
from ingest.assets import NewAsset, Registered, register
from ingest.forms import FormFile
from ingest.idempotency import outcome_unknown
from ingest.intake import Intake, Minted, Who
from ingest.jobs import CheckedJob
from ingest.shapes import JobInput, JobRequest
from schemas.commands import DeleteAsset

_encode = msgspec.json.Encoder().encode


def checked_job(
    intake: Intake,
    who: Who,
    model: str,
    params: Mapping[str, Any],
    *,
    asset: str | None = None,
    mask: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> CheckedJob:
    """The job as the catalogue has it. Raises Problem 400 naming `params.…`, and the refusal of an unknown model.

    `metadata` is the contract's own record beside the job, sealed; its size is the contract's to bound.
    """
    given = None if asset is None and mask is None else JobInput(asset=asset, mask=mask)
    job = intake.params.job(JobRequest(model, given, msgspec.Raw(_encode(params))), who.product)
    return msgspec.structs.replace(job, metadata=metadata)


def another(intake: Intake, minted: Minted) -> Minted:
    """Ids for one more command of the request: the same idempotency key, replies of its own."""
    return Minted(intake.ports.ids.mint("x")[2:], minted.key)


async def asset_of(
    intake: Intake, request: Request, who: Who, minted: Minted, file: FormFile, album: str | None = None
) -> Registered:
    """Make a stored file of a form an asset of its key's name; a repeat under the key gives the first one's.

    The file stands under `<account>/<asset id>`. Raises Problem; then its bytes are gone.
    """
    assert file.object is not None, "a file that failed is told before"
    asset = file.object.key.rpartition("/")[2]
    new = NewAsset(asset=asset, object=file.object, file_name=file.name, album=album)
    content = [file.object.sha256, file.name, *([album] if album else ())]
    return await register(intake, request, who, another(intake, minted), f"register-{file.field}", content, new)


async def take_back(intake: Intake, request: Request, who: Who, minted: Minted, problem: Problem, *assets: str) -> None:
    """Delete what was uploaded for a job that was refused: nobody will name it. Nothing waits for that.

    Where the job may stand on the log, its pictures stay.
    """
    if problem.code != outcome_unknown("").code:
        await delete_unused(intake, request, who, *assets)


async def delete_unused(intake: Intake, request: Request, who: Who, *assets: str) -> None:
    """Delete assets that no job works on. Nothing waits for that."""
    for asset in assets:
        fresh = Minted(intake.ports.ids.mint("x")[2:], intake.ports.ids.mint("idem"))
        try:
            command = DeleteAsset(asset, ())
            await intake.append(request, who, fresh, "delete-asset", [asset], command, answered=False)
        except Problem:
            return  # the log takes nothing now; the plan's time for uploads ends them
