"""The trail of accesses: noted, counted in one, packed, kept while the log is away, dropped with a count."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from api import routes as api_routes
from infra.clock import ManualClock
from infra.http import session_routes
from infra.http.addresses import AddressHasher
from infra.http.audit import ENTRIES_MAX, EVERY_S, OBJECTS_MAX, AccessTrail, accessed
from infra.http.routing import Access, Audit, Operation
from infra.http.tokens import Caller
from infra.ids import SeededIds
from infra.kafka.memory import MemoryLog, MemoryRecords
from infra.kafka.ports import NotAppended, Outgoing
from ingest import routes as ingest_routes
from schemas.accesses import Access as Accessed
from schemas.accesses import AccessRecord, decode_accesses
from schemas.identifiers import partition_of
from schemas.topics import ACCESSES

PARTITIONS = 4
UNTOUCHED = {
    "list-models",
    "list-plans",
    "get-all-statistics",
    "presign-upload",
    "studio-model-info",
    "studio-clear-generation-state",
    "studio-login-page",
    "studio-static",
}  # tell nothing of any one account


async def _handler(_: Request) -> Response:
    return Response()


def operation(audit: Audit | None = "read", access: Access = "bearer") -> Operation:
    return Operation(
        method="GET",
        path="/v1/things/{id}",
        handler=_handler,
        name="get-thing",
        summary="A thing",
        tag="T",
        answers={},
        audit=audit,
        access=access,
    )


def scope_of(
    row: Operation,
    account: str | None = "acct_a",
    *,
    thing: str = "thing_1",
    role: str = "user",
    peer: str = "10.0.0.1",
) -> dict[str, Any]:
    """The scope of an answered request."""
    scope: dict[str, Any] = {"type": "http", "client": (peer, 1), "headers": [], "path_params": {"id": thing}}
    scope["darkroom.operation"] = row
    if account is not None:
        scope["darkroom.caller"] = Caller(account=account, product="p", subject="s", role=role)
    return scope


class World:
    """A trail over the log in memory."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.registry = ManualClock(1_000), CollectorRegistry()
        self.log = MemoryLog(self.clock, {ACCESSES: PARTITIONS})
        self.records = MemoryRecords(self.log)
        addresses = AddressHasher(b"k" * 32)
        self.trail = AccessTrail(self.clock, SeededIds(1), addresses, PARTITIONS, registry=self.registry, **settings)

    async def read(self) -> list[AccessRecord]:
        """Every record; each stands in its account's partition under its key."""
        found = []
        for partition in range(PARTITIONS):
            async for batch in self.log.read(ACCESSES, partition, 0):
                for record in batch:
                    decoded = decode_accesses(record.value or b"")
                    assert record.key == decoded.account.encode()
                    assert partition == partition_of(decoded.account, PARTITIONS)
                    found.append(decoded)
        return found

    async def flushed(self) -> list[Accessed]:
        assert await self.trail.flush(self.records)
        return [access for record in await self.read() for access in record.accesses]


@pytest.fixture
def world() -> World:
    return World()


async def test_an_access_says_who_what_when_from_where(world: World) -> None:
    world.trail.note(scope_of(operation(), role="admin"), 200)
    (access,) = await world.flushed()
    assert (access.actor, access.role, access.action, access.operation) == ("acct_a", "admin", "read", "get-thing")
    assert (access.objects, access.status, access.at_ms, access.times) == (("thing_1",), 200, 1_000, 1)
    assert access.address is not None
    assert access.address.startswith("addr_")
    assert "10.0.0.1" not in access.address


@pytest.mark.parametrize(
    ("audit", "status", "is_noted"),
    [
        ("read", 200, True),
        ("read", 304, True),
        ("read", 404, False),
        ("read", 503, False),
        ("change", 202, True),
        ("change", 402, False),
        ("change", 499, True),
        ("delete", 503, True),
        (None, 200, False),
    ],
)
async def test_what_took_place_is_noted_and_what_may_have(
    world: World, audit: Audit | None, status: int, is_noted: bool
) -> None:
    world.trail.note(scope_of(operation(audit)), status)
    assert bool(await world.flushed()) is is_noted


async def test_requests_of_nobody_and_of_no_operation_leave_nothing(world: World) -> None:
    world.trail.note(scope_of(operation(), account=None), 200)
    scope = scope_of(operation())
    del scope["darkroom.operation"]
    world.trail.note(scope, 200)
    assert await world.flushed() == []
    assert await world.read() == []


async def test_equal_accesses_are_counted_in_one_and_unlike_ones_are_not(world: World) -> None:
    for _ in range(5):
        world.trail.note(scope_of(operation()), 200)
        world.clock.advance(10)
    world.trail.note(scope_of(operation(), peer="10.0.0.2"), 200)
    world.trail.note(scope_of(operation(), thing="thing_2"), 200)
    accesses = await world.flushed()
    assert [access.times for access in accesses] == [5, 1, 1]
    assert accesses[0].at_ms == 1_000
    assert len(await world.read()) == 1


async def test_handlers_say_what_else_is_touched_and_whose(world: World) -> None:
    scope = scope_of(operation("change"))
    request = Request(scope)
    accessed(request, "job_1", account="acct_b")
    accessed(request, "job_2", "job_1")
    world.trail.note(scope, 202)
    repeated = scope_of(operation("change"))
    accessed(Request(repeated), "job_3")
    accessed(Request(repeated), "job_1", instead=True)
    world.trail.note(repeated, 202)
    link = scope_of(operation(), account=None)
    accessed(Request(link), "asset_1", account="acct_c")
    world.trail.note(link, 200)
    await world.flushed()
    found = {record.account: record.accesses[0] for record in await world.read()}
    assert (found["acct_b"].actor, found["acct_b"].objects) == ("acct_a", ("job_1", "job_2"))
    assert found["acct_a"].objects == ("job_1",)
    assert (found["acct_c"].actor, found["acct_c"].role) == (None, "link")


async def test_a_link_names_nobody_and_neither_does_a_reader_of_what_is_public(world: World) -> None:
    for row in (operation(access="public"), operation(access="optional")):
        scope = scope_of(row, account=None)
        accessed(Request(scope), "asset_1", account="acct_c")
        world.trail.note(scope, 200)
    accesses = await world.flushed()
    assert [(access.actor, access.role) for access in accesses] == [(None, "link"), (None, "anonymous")]


async def test_records_stay_within_their_limits(world: World) -> None:
    many = scope_of(operation("change"))
    accessed(Request(many), *(f"job_{number}" for number in range(OBJECTS_MAX + 5)))
    world.trail.note(many, 202)
    for number in range(ENTRIES_MAX + 1):
        world.trail.note(scope_of(operation(), thing=f"t{number}"), 200)
    await world.flushed()
    records = await world.read()
    assert sum(len(access.objects) for record in records for access in record.accesses) == OBJECTS_MAX + ENTRIES_MAX + 6
    for record in records:
        assert len(record.accesses) <= ENTRIES_MAX
        assert sum(len(access.objects) for access in record.accesses) <= OBJECTS_MAX
    assert len({record.batch for record in records}) == len(records)


async def test_what_a_log_that_was_away_gets_later_is_the_same_record(world: World) -> None:
    world.trail.note(scope_of(operation()), 200)
    lost = _LosesAnswers(world.records)
    assert await world.trail.flush(lost) is False
    world.trail.note(scope_of(operation()), 200)
    assert world.trail.waiting > 0
    assert len(await world.flushed()) == 3
    batches = [record.batch for record in await world.read()]
    assert batches[0] == batches[1] != batches[2]
    assert world.trail.waiting == 0


async def test_memory_is_bounded_and_what_is_dropped_is_counted() -> None:
    world = World(waiting_max=20)
    world.records.is_away = True
    for number in range(30):
        world.trail.note(scope_of(operation(), thing=f"t{number}"), 200)
        await world.trail.flush(world.records)
    assert world.trail.waiting == 20
    assert world.registry.get_sample_value("darkroom_accesses_dropped_total") == 20
    world.records.is_away = False
    assert len(await world.flushed()) == 10
    world.trail.note(scope_of(operation()), 200)
    assert len(await world.flushed()) == 11


async def test_the_task_appends_within_a_second_and_at_once_when_many_wait(world: World) -> None:
    task = asyncio.create_task(world.trail.run(world.records))
    try:
        for number in range(ENTRIES_MAX):
            world.trail.note(scope_of(operation(), thing=f"t{number}"), 200)
        await _appended(world, EVERY_S / 2)
        world.trail.note(scope_of(operation()), 200)
        await _appended(world, EVERY_S * 2)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert sum(len(record.accesses) for record in await world.read()) == ENTRIES_MAX + 1


async def _appended(world: World, limit_s: float) -> None:
    async with asyncio.timeout(limit_s):
        while world.trail.waiting:
            await asyncio.sleep(0.01)


def test_every_operation_says_what_it_does_to_an_account() -> None:
    rows = (*ingest_routes.ROUTES, *api_routes.ROUTES, *session_routes.ROUTES)
    assert {row.name for row in rows if row.audit is None} <= UNTOUCHED


class _LosesAnswers:
    """Records that are taken, but whose acknowledgement is lost."""

    def __init__(self, records: MemoryRecords) -> None:
        self._records = records

    async def append(self, records: Sequence[Outgoing]) -> None:
        await self._records.append(records)
        raise NotAppended("the acknowledgement was lost")
