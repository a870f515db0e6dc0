"""Work items: an attempt handed to a lane's dispatchers (design section 2, point 15)."""

from collections.abc import Mapping

import msgspec

from schemas.commands import Json, StoredObject


class WorkItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt of one job.

    A dispatcher that picks the item up after `lease_until_ms` drops it: the decider hands out the next attempt. A
    started attempt renews its lease within `lease_ms`; nothing runs past `run_until_ms`. `sealed` holds what only the
    dispatcher opens. The output goes to `output_key` and a text of the delivery's own: written once, never replaced.
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
    schema: int = 1


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(WorkItem)


def encode_work(item: WorkItem) -> bytes:
    """The value of a record of `dispatch.<lane>`."""
    return _encoder.encode(item)


def decode_work(value: bytes) -> WorkItem:
    """The work item in a record's value; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(value)
