"""Sessions on the topic: keeps a `SessionTable` current, writes what is due, appends revocations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from infra import failpoints
from infra.clock import Clock
from infra.http.sessions import SessionsUnavailable, SessionTable
from infra.kafka.ports import LogReader, NotAppended, Outgoing, ReadFault, Record, Records
from infra.logs import get_logger
from schemas.sessions import SessionRecord, SessionRevoked, decode_session, encode_session, session_key
from schemas.topics import SESSIONS

FOLLOW_EVERY_S = 0.25
CURRENT_WITHIN_S = 10.0
_RECORDS_MAX = 500
_PARTITION = 0
_log = get_logger(__name__)


class LogSessions:
    """Implements `infra.http.sessions.Sessions`; call `start` before serving and `stop` at the end."""

    def __init__(
        self,
        table: SessionTable,
        reader: LogReader,
        records: Records,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table, self._reader, self._records, self._clock = table, reader, records, clock
        self._monotonic = monotonic
        self._position: int | None = None
        self._current_at_s = float("-inf")
        self._following: asyncio.Task[None] | None = None

    @property
    def is_current(self) -> bool:
        """Whether the table was at the topic's end a moment ago."""
        return self._monotonic() - self._current_at_s < CURRENT_WITHIN_S

    async def start(self) -> None:
        """Read the whole topic, then follow it. Raises ReadFault."""
        await self.catch_up()
        self._following = asyncio.create_task(self._follow(), name="follow sessions")

    async def stop(self) -> None:
        """Write what is due and end; what cannot be written ends some sessions a little early."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        await self.write_due()

    async def revoke(self, session: str, until_ms: int) -> None:
        """See `infra.http.sessions.Sessions.revoke`."""
        record = SessionRecord(session, until_ms, SessionRevoked(self._clock.now_ms()))
        try:
            failpoints.passed("gateway.revoke-session.before")
            await self._records.append([_outgoing(record)])
            failpoints.passed("gateway.revoke-session.after")
        except NotAppended as error:
            raise SessionsUnavailable(str(error)) from error
        self._table.revoke(session, until_ms)

    async def catch_up(self) -> None:
        """Take in what came since the last call. Raises ReadFault; the next call then begins at the oldest record."""
        position, self._position = self._position, None
        if position is None:
            position = await self._reader.begin_offset(SESSIONS, _PARTITION)
        async for batch in self._reader.read(SESSIONS, _PARTITION, position):
            self._apply(batch)
            position = batch[-1].offset + 1
        self._position, self._current_at_s = position, self._monotonic()

    async def write_due(self) -> None:
        """Append last uses that are due and tombstones of what has ended; what fails is due again."""
        seen = self._table.take_unwritten()
        ended = self._table.take_ended(self._clock.now_ms(), _RECORDS_MAX)
        outgoing = [_outgoing(record) for record in seen]
        outgoing += [Outgoing(SESSIONS, _PARTITION, key, None) for key in ended]
        if outgoing:
            try:
                failpoints.passed("gateway.note-sessions.before")
                await self._records.append(outgoing)
                failpoints.passed("gateway.note-sessions.after")
            except NotAppended as error:
                self._table.keep_unwritten(seen)
                _log.warning("sessions-not-written", records=len(outgoing), reason=str(error))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_EVERY_S)
            try:
                await self.catch_up()
                await self.write_due()
            except ReadFault as error:
                _log.warning("sessions-not-read", reason=str(error))
            except Exception as error:
                _log.error("sessions-not-followed", exc_info=error)

    def _apply(self, batch: Sequence[Record]) -> None:
        for record in batch:
            if record.value is None:
                self._table.forget(record.key or b"", self._clock.now_ms())
                continue
            try:
                self._table.apply(decode_session(record.value))
            except msgspec.DecodeError as error:
                _log.error("session-unreadable", offset=record.offset, reason=str(error))


def _outgoing(record: SessionRecord) -> Outgoing:
    return Outgoing(SESSIONS, _PARTITION, session_key(record), encode_session(record))
