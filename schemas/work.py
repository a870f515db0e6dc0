"""Work items: an attempt handed to a lane's dispatchers (design section 2, point 15)."""

from collections.abc import Mapping

import msgspec

from schemas.commands import Json, SealedPart, StoredObject


class WorkItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One attempt of one job.

    A dispatcher that picks the item up after `lease_until_ms` drops it: the decider hands out the next attempt. A
    started attempt renews its lease within `lease_ms`; nothing runs past `run_until_ms`. `sealed` holds what only the
    dispatcher opens, or `sealed_at` says where that stands. The output goes to `output_key` and a text of the
    delivery's own: written once, never replaced. `quarantine`: the attempt has to run alone.
    """

    job: str
    account: str
    product: str
    attempt: int
    lane: str
    model: str
    engine: str
    engine_version: str
    params: Mapping[str, Json]
    input: StoredObject | None
    sealed: str | None
    output_key: str
    lease_until_ms: int
    lease_ms: int
    run_until_ms: int
    client_waits_until_ms: int | None = None
    trace: str | None = None
    mask: StoredObject | None = None
    sealed_at: SealedPart | None = None
    quarantine: bool = False
    schema: int = 1


class PurgeItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Bytes to delete, on the lane `housekeeping`: the objects `keys`, or everything under `prefix` and before `at_ms`.

    Deleting is harmless to repeat; the outcome returns as `record-purge`, and the item comes again until it does.
    """

    purge: str
    account: str
    product: str
    keys: tuple[str, ...]
    at_ms: int
    prefix: str | None = None
    schema: int = 1


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(WorkItem)
_purge_decoder = msgspec.json.Decoder(PurgeItem)


def encode_work(item: WorkItem | PurgeItem) -> bytes:
    """The value of a record of `dispatch.<lane>`."""
    return _encoder.encode(item)


def decode_work(value: bytes) -> WorkItem:
    """The work item in a record's value; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(value)


def decode_purge(value: bytes) -> PurgeItem:
    """The purge in a record's value; raises msgspec.DecodeError for anything else."""
    return _purge_decoder.decode(value)
