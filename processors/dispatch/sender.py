"""Commands of dispatchers to deciders, as a port: at least once, whole, and never for longer than they matter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from infra.clock import Clock
from infra.ids import IdSource
from infra.kafka.ports import Appender, NotAppended, OutcomeUnknown
from infra.logs import get_logger
from schemas.commands import AttemptStarted, Envelope, RecordOutcome, RecordPurge, RenewLease, encode_command
from schemas.identifiers import partition_of
from schemas.work import PurgeItem, WorkItem

DispatchCommand = AttemptStarted | RenewLease | RecordOutcome | RecordPurge

_PAUSE_S = 0.1
_PAUSE_S_MAX = 2.0
_log = get_logger(__name__)


class CommandSender(Protocol):
    """Tells the owner of an account what became of its attempts and purges."""

    async def send(self, item: WorkItem | PurgeItem, commands: Sequence[DispatchCommand], until_ms: int) -> bool:
        """Append the commands in their order, in one record as far as they fit, trying until `until_ms`.

        False when the log has not acknowledged them by then. They may be appended more than once: the decider ignores
        what does not fit by name.
        """
        ...


class LogCommandSender:
    """`CommandSender` over the log's appender."""

    def __init__(self, appender: Appender, partitions: int, ids: IdSource, clock: Clock) -> None:
        self._appender, self._partitions, self._ids, self._clock = appender, partitions, ids, clock

    async def send(self, item: WorkItem | PurgeItem, commands: Sequence[DispatchCommand], until_ms: int) -> bool:
        encoded = [encode_command(self._envelope(item, command)) for command in commands]
        partition, pause_s = partition_of(item.account, self._partitions), _PAUSE_S
        while True:
            try:
                await self._appender.append_many(partition, encoded)
            except (OutcomeUnknown, NotAppended) as error:
                if self._clock.now_ms() + pause_s * 1000 >= until_ms:
                    kinds = [type(command).__name__ for command in commands]
                    _log.error("commands-not-sent", what=_named(item), commands=kinds, error=str(error))
                    return False
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_S_MAX)
            else:
                return True

    def _envelope(self, item: WorkItem | PurgeItem, command: DispatchCommand) -> Envelope:
        return Envelope(
            id=self._ids.mint("cmd"),
            account=item.account,
            product=item.product,
            command=command,
            sent_ms=self._clock.now_ms(),
            actor="dispatcher",
            trace=item.trace if isinstance(item, WorkItem) else None,
        )


def _named(item: WorkItem | PurgeItem) -> str:
    return item.job if isinstance(item, WorkItem) else f"purge {item.purge}"


class MemoryCommandSender:
    """Keeps what was sent, for tests, one `records` entry a call; `dropped` holds types that get lost on their way."""

    def __init__(self) -> None:
        self.records: list[Sequence[DispatchCommand]] = []
        self.dropped: set[type[DispatchCommand]] = set()

    @property
    def sent(self) -> list[DispatchCommand]:
        """All commands, in order."""
        return [command for record in self.records for command in record]

    async def send(self, item: WorkItem | PurgeItem, commands: Sequence[DispatchCommand], until_ms: int) -> bool:
        kept = [command for command in commands if type(command) not in self.dropped]
        if kept:
            self.records.append(kept)
        return bool(kept)
