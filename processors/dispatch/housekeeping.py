"""Purges: bytes that a decision has given up are deleted from the object store.

Theory of operation
-------------------
Access ended with the decision; this is only the deleting (design section 2, point 19). An item names objects, or a
prefix with a time. When all of it is gone, `record-purge` says so; whatever goes wrong before, nothing is said, and the
decider releases the item again. Deleting twice is harmless, so nothing is remembered here.

An item is only ever about bytes of its own account: anything else in it is a bug of whoever wrote it, and refused
before the first object is touched. The store tells times to the second: what was written in the second of `at_ms` goes
too, because the bytes that an erasure promised to delete matter more than an upload of the same second.
"""

from __future__ import annotations

from infra import failpoints
from infra.clock import Clock
from infra.logs import get_logger
from infra.s3.store import ObjectStore, StoreUnavailable
from processors.dispatch import metrics
from processors.dispatch.sender import CommandSender
from schemas.commands import RecordPurge
from schemas.work import PurgeItem

SEND_FOR_MS = 60_000
_log = get_logger(__name__)


class Housekeeper:
    """Carries purges out; one a process. Several items may run at once."""

    def __init__(self, store: ObjectStore, sender: CommandSender, clock: Clock) -> None:
        self._store, self._sender, self._clock = store, sender, clock

    async def run(self, item: PurgeItem) -> None:
        """Delete what the item names and tell the decider. Never raises: an item that failed comes again."""
        stranger = strange_part(item)
        if stranger is not None:
            metrics.PURGES.labels("refused").inc()
            _log.error("purge-refused", purge=item.purge, account=item.account, names=stranger)
            return
        try:
            failpoints.passed("dispatcher.delete-bytes.before")
            deleted = await self._delete(item)
            failpoints.passed("dispatcher.delete-bytes.after")
        except StoreUnavailable as error:
            metrics.PURGES.labels("store-unavailable").inc()
            _log.warning("purge-interrupted", purge=item.purge, error=str(error))
            return
        except Exception:
            metrics.PURGES.labels("failed").inc()
            _log.exception("purge-failed", purge=item.purge)
            return
        metrics.PURGES.labels("done").inc()
        metrics.PURGED_OBJECTS.inc(deleted)
        _log.info("purged", purge=item.purge, account=item.account, objects=deleted)
        await self._sender.send(item, [RecordPurge(item.purge)], self._clock.now_ms() + SEND_FOR_MS)
        failpoints.passed("dispatcher.purged.after")

    async def _delete(self, item: PurgeItem) -> int:
        deleted = len(item.keys)
        if item.keys:
            await self._store.delete_many(item.keys)
        if item.prefix is not None:
            async for page in self._store.pages(item.prefix):
                old = [found.key for found in page if found.modified_ms <= item.at_ms]
                await self._store.delete_many(old)
                deleted += len(old)
        return deleted


def strange_part(item: PurgeItem) -> str | None:
    """A key, or the prefix, of the item that is not its own account's; None when there is none."""
    named = item.keys if item.prefix is None else (*item.keys, f"{item.prefix}-")
    return next((key for key in named if not _is_own(key, item.account)), None)


def _is_own(key: str, account: str) -> bool:
    first, *rest = key.split("/")
    return first == account != "" and bool(rest) and not {"", ".", ".."}.intersection(rest)
