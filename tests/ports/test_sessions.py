"""Sessions on the log: one suite for the log in memory and for the compacted topic. Two stores are two gateways."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from infra.clock import SystemClock
from infra.http.session_log import CURRENT_WITHIN_S, LogSessions
from infra.http.sessions import SessionsUnavailable, SessionTable, end_of
from infra.http.tokens import SessionClaims, TokenInvalid
from infra.kafka.client import start_client
from infra.kafka.memory import MemoryLog, MemoryRecords
from infra.kafka.ports import LogReader, Outgoing, ReadFault, Record, Records
from infra.kafka.reader import KafkaLogReader
from infra.kafka.records import KafkaRecords
from infra.settings import Settings
from schemas.sessions import SessionRecord, SessionSeen, decode_session, encode_session
from schemas.topics import SESSIONS


class World(NamedTuple):
    """A log that gateways share."""

    reader: LogReader
    records: Records

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[tuple[LogSessions, SessionTable]]:
        """A gateway that has started."""
        table = SessionTable()
        sessions = LogSessions(table, self.reader, self.records, SystemClock())
        await sessions.start()
        try:
            yield sessions, table
        finally:
            await sessions.stop()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        log = MemoryLog(SystemClock(), {SESSIONS: 1})
        yield World(log, MemoryRecords(log))
        return
    settings: Settings = request.getfixturevalue("kafka")
    reading, writing = await asyncio.gather(start_client(settings.kafka), start_client(settings.kafka))
    try:
        yield World(KafkaLogReader(reading), KafkaRecords(writing))
    finally:
        await asyncio.gather(reading.close(), writing.close())


def claims(*, age_s: int = 0, idle_s: int | None = None) -> SessionClaims:
    """A token of its own, `age_s` old."""
    issued_s = int(time.time()) - age_s
    return SessionClaims(uuid.uuid4().hex, issued_s, issued_s + 86_400, idle_s)


def is_good(table: SessionTable, token: SessionClaims) -> bool:
    try:
        table.admit(token, SystemClock().now_ms())
    except TokenInvalid:
        return False
    return True


async def until(table: SessionTable, token: SessionClaims, good: bool, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while is_good(table, token) is not good:
        assert time.monotonic() < deadline, f"not {good} after {limit_s} s"
        await asyncio.sleep(0.02)


async def test_a_revocation_counts_here_at_once_there_within_a_second_and_after_a_start(world: World) -> None:
    token, other = claims(), claims()
    async with world.gateway() as (here, mine), world.gateway() as (_, theirs):
        assert is_good(mine, token)
        await here.revoke(token.id, end_of(token))
        assert not is_good(mine, token)
        await until(theirs, token, False, 1.0)
        assert is_good(theirs, other)
    async with world.gateway() as (_, later):
        assert not is_good(later, token)
        assert is_good(later, other)


async def test_uses_are_written_and_read_by_others_and_after_a_start(world: World) -> None:
    async with world.gateway() as (_, mine), world.gateway() as (_, theirs):
        token = claims(age_s=3600, idle_s=3603)  # good for two to three seconds unless it is used
        assert is_good(mine, token)
        begin = time.monotonic()
        while not len(theirs) or not _knows(theirs, token):
            assert time.monotonic() < begin + 5.0
            await asyncio.sleep(0.02)
    while is_good(SessionTable(), token):  # until it would be idle, by its birth alone
        await asyncio.sleep(0.1)
    async with world.gateway() as (_, later):
        assert is_good(later, token)


async def test_records_that_make_no_sense_are_passed_over(world: World) -> None:
    token = claims()
    await world.records.append([Outgoing(SESSIONS, 0, b"seen.x", b"{"), Outgoing(SESSIONS, 0, b"\xff", None)])
    async with world.gateway() as (here, mine):
        await here.revoke(token.id, end_of(token))
        assert not is_good(mine, token)


async def test_what_has_ended_gets_a_tombstone(world: World) -> None:
    session, long_ago_ms = uuid.uuid4().hex, SystemClock().now_ms() - 86_400_000
    record = SessionRecord(session, long_ago_ms, SessionSeen(long_ago_ms))
    key = f"seen.{session}".encode()
    await world.records.append([Outgoing(SESSIONS, 0, key, encode_session(record))])
    async with world.gateway() as (here, _):
        await here.write_due()
    values = [found.value for found in await _read(world.reader) if found.key == key]
    assert [None if value is None else decode_session(value).session for value in values] == [session, None]


async def test_a_log_that_is_away_refuses_revocations_and_keeps_uses_for_later() -> None:
    log = MemoryLog(SystemClock(), {SESSIONS: 1})
    table, records = SessionTable(), MemoryRecords(log)
    sessions = LogSessions(table, log, records, SystemClock())
    token = claims(age_s=3600, idle_s=7200)
    records.is_away = True
    with pytest.raises(SessionsUnavailable):
        await sessions.revoke(token.id, end_of(token))
    assert is_good(table, token)
    await sessions.write_due()
    assert await _read(log) == []
    records.is_away = False
    await sessions.write_due()
    (record,) = await _read(log)
    assert record.key == f"seen.{token.id}".encode()


async def test_readiness_says_whether_the_topic_is_being_read() -> None:
    log, now_s = MemoryLog(SystemClock(), {SESSIONS: 1}), [0.0]
    sessions = LogSessions(SessionTable(), log, MemoryRecords(log), SystemClock(), lambda: now_s[0])
    told = [sessions.is_current]
    await sessions.catch_up()
    told.append(sessions.is_current)
    now_s[0] = CURRENT_WITHIN_S
    assert [*told, sessions.is_current] == [False, True, False]


async def test_a_gap_is_a_fault_and_then_the_topic_is_read_from_its_beginning() -> None:
    log, table, token = MemoryLog(SystemClock(), {SESSIONS: 1}), SessionTable(), claims()
    sessions = LogSessions(table, log, MemoryRecords(log), SystemClock())
    await sessions.catch_up()
    for other in (claims(), claims(), token):
        await LogSessions(SessionTable(), log, MemoryRecords(log), SystemClock()).revoke(other.id, end_of(other))
    log.delete_before(SESSIONS, 0, 2)
    with pytest.raises(ReadFault):
        await sessions.catch_up()
    await sessions.catch_up()
    assert not is_good(table, token)


def _knows(table: SessionTable, token: SessionClaims) -> bool:
    """Whether the table has heard of the token, without using it."""
    return token.id in table._seen


async def _read(reader: LogReader) -> list[Record]:
    begin = await reader.begin_offset(SESSIONS, 0)
    return [record async for batch in reader.read(SESSIONS, 0, begin) for record in batch]
