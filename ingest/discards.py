"""Taking back what was stored of a request that comes to nothing."""

from __future__ import annotations

from infra import failpoints
from infra.logs import get_logger
from infra.s3.store import ObjectStore, StoreUnavailable

_log = get_logger(__name__)


async def discard(objects: ObjectStore, *keys: str) -> None:
    """Remove objects that nothing names. What cannot be removed now is the sweeper's."""
    for key in keys:
        try:
            failpoints.passed("gateway.discard-object.before")
            await objects.delete(key)
            failpoints.passed("gateway.discard-object.after")
        except StoreUnavailable:
            _log.warning("object-left", key=key)
