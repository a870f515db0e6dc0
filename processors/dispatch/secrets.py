"""What only the dispatcher opens: the texts among a job's parameters, sealed in the item or in a part of an object."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from infra.s3.store import ObjectNotFound, ObjectStore
from infra.sealing.cipher import SealBroken
from infra.sealing.content import JOB, decode_job_secrets
from infra.sealing.opener import Opener
from schemas.work import WorkItem


class Erased(Exception):
    """The texts cannot be opened any more, or never could: no attempt can run."""


async def texts_of(item: WorkItem, opener: Opener, store: ObjectStore) -> Mapping[str, str]:
    """The item's personal texts. Raises Erased, and what the store and the keys raise while they are away."""
    sealed = item.sealed if item.sealed_at is None else await _part(item, store)
    if sealed is None:
        return {}
    try:
        plaintext = await opener.open(item.account, sealed, JOB)
        if plaintext is None:
            raise Erased("The texts of this job were erased.")
        return decode_job_secrets(plaintext).texts
    except (SealBroken, msgspec.DecodeError) as error:
        raise Erased("The texts of this job cannot be read.") from error


async def _part(item: WorkItem, store: ObjectStore) -> str:
    part = item.sealed_at
    assert part is not None
    try:
        pieces = [piece async for piece in store.stream(part.key, part.start, part.start + part.bytes)]
    except ObjectNotFound as error:
        raise Erased("The texts of this job are gone.") from error
    return b"".join(pieces).decode("ascii", "replace")
