"""The audit of a partition over topics in memory: a true log passes, each planted wrong is found by its law."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from infra.clock import ManualClock
from infra.kafka.memory import MemoryLog
from infra.kafka.ports import Outgoing
from processors import partition_audit
from processors.audit_spill import InMemory, Shelf, Spill
from processors.audited_partition import AuditedPartition
from processors.effects import Addressing
from processors.partition_audit import PartitionAuditor, audit_partition
from schemas import events as ev
from schemas import topics
from schemas.codec import pack_items, unpack_items
from tests.bench.audit_log import DecidedPartition, Step

TOPICS = (topics.COMMANDS, topics.EVENTS, topics.ACCOUNTS)
EVENTS = 700


@dataclass
class Written:
    """The log of one partition, changed at will before it is audited."""

    steps: list[Step] = field(default_factory=lambda: list(DecidedPartition(0, 1, accounts=3).steps(EVENTS)))
    log: MemoryLog = field(default_factory=lambda: MemoryLog(ManualClock(0), dict.fromkeys(TOPICS, 1)))

    async def write(self, steps: Sequence[Step]) -> None:
        """Append the steps as their owner would: commands, then one transaction each."""
        producer = self.log.producer("owner")
        await producer.initialise()
        for step in steps:
            self.log.append(topics.COMMANDS, 0, step.value, timestamp_ms=step.time_ms)
            await producer.commit([record for record in step.records if record.topic in TOPICS])

    def state(self) -> dict[bytes, bytes]:
        """The last value of each state record."""
        records = [r for step in self.steps for r in step.records if r.topic == topics.ACCOUNTS]
        last = {record.key or b"": record.value for record in records}
        return {key: value for key, value in last.items() if value is not None}

    async def audit(self, *, quiet: bool = False, shelf: Shelf | None = None) -> AuditedPartition:
        return await audit_partition(self.log, 0, Addressing("bench", 1), quiet=quiet, shelf=shelf)

    def change(self, kind: type[ev.EventData], change: Callable[[ev.Event], ev.Event | None]) -> None:
        """Change or leave out the last event of that type that stands in the middle of the log."""
        for step in reversed(self.steps[: -len(self.steps) // 4]):
            for at, record in reversed(list(enumerate(step.records))):
                if record.topic == topics.EVENTS:
                    event = ev.decode_event(record.value or b"")
                    if isinstance(event.data, kind):
                        changed = change(event)
                        with_it = [] if changed is None else [_again(record, changed)]
                        step.records[at : at + 1] = with_it
                        return
        raise AssertionError(f"there is no {kind}")


def _again(record: Outgoing, event: ev.Event) -> Outgoing:
    return replace(record, value=ev.encode_event(event))


async def laws(written: Written) -> set[str]:
    await written.write(written.steps)
    return {violation.law for violation in (await written.audit()).violations}


@pytest.mark.parametrize("hot_max", [None, 40], ids=["in memory", "spilled"])
async def test_a_true_log_passes_and_all_of_it_is_seen(hot_max: int | None) -> None:
    written = Written()
    await written.write(written.steps)
    with Spill(hot_max or 100_000) as spill:
        found = await written.audit(quiet=True, shelf=InMemory() if hot_max is None else spill)
        assert [str(violation) for violation in found.violations] == []
        assert found.audit.events == found.decided_again >= EVENTS
        assert found.audit.commands == sum(len(unpack_items(step.value)) for step in written.steps)
        assert len(found.stored) == len(found.fold.values()) > 50


def other_units(event: ev.Event) -> ev.Event:
    assert isinstance(event.data, ev.CreditsCaptured)
    return replace(event, data=replace(event.data, units=event.data.units + 1))


def other_command(event: ev.Event) -> ev.Event:
    return replace(event, command="cmd_nobody")


def other_attempt(event: ev.Event) -> ev.Event:
    assert isinstance(event.data, ev.JobStarted)
    return replace(event, data=replace(event.data, attempt=2))


def other_plan(event: ev.Event) -> ev.Event:
    assert isinstance(event.data, ev.CreditsReserved)
    return replace(event, data=replace(event.data, plan_version=7))


def many_taken(event: ev.Event) -> ev.Event:
    assert isinstance(event.data, ev.CreditsReserved)
    windows = (replace(event.data.windows[0], units=1_000_001),)
    return replace(event, data=replace(event.data, windows=windows))


def early_forgotten(event: ev.Event) -> ev.Event:
    assert isinstance(event.data, ev.JobAccepted)
    assert event.data.idempotency is not None
    return replace(event, data=ev.IdempotencyForgotten((event.data.idempotency.key,)))


def old_key(event: ev.Event) -> ev.Event:
    """The key of the submit that stands one job before in the same round."""
    assert isinstance(event.data, ev.JobAccepted)
    assert event.data.idempotency is not None
    use = replace(event.data.idempotency, key=f"{int(event.data.idempotency.key, 16) - 1:032x}")
    return replace(event, data=replace(event.data, idempotency=use))


def nothing(_: ev.Event) -> None:
    return None


PLANTED: list[tuple[type[ev.EventData], Callable[[ev.Event], ev.Event | None], str]] = [
    (ev.CreditsCaptured, other_units, "a-reservation-ends-once"),
    (ev.CreditsCaptured, nothing, "positions-in-order"),
    (ev.CreditsReleased, nothing, "an-end-settles-its-reservation"),
    (ev.JobSucceeded, nothing, "only-a-success-is-charged"),
    (ev.JobStarted, other_command, "every-event-has-its-command"),
    (ev.JobStarted, other_attempt, "only-the-live-attempt-counts"),
    (ev.JobStarted, nothing, "no-command-is-passed-over"),
    (ev.AttemptReleased, nothing, "only-the-live-attempt-counts"),
    (ev.CreditsReserved, other_plan, "a-price-is-of-a-published-plan"),
    (ev.CreditsReserved, many_taken, "windows-within-their-limit"),
    (ev.CreditsReserved, nothing, "a-reservation-ends-once"),
    (ev.JobAccepted, early_forgotten, "a-key-lives-its-time"),
    (ev.JobAccepted, old_key, "a-key-makes-one-thing"),
]


@pytest.mark.parametrize(("kind", "change", "law"), PLANTED, ids=[f"{c.__name__}-{law}" for _, c, law in PLANTED])
async def test_a_planted_wrong_is_found_by_its_law_and_shown_by_its_events(
    kind: type[ev.EventData], change: Callable[[ev.Event], ev.Event | None], law: str
) -> None:
    written = Written()
    written.change(kind, change)
    await written.write(written.steps)
    found = await written.audit()
    of_law = [violation for violation in found.violations if violation.law == law]
    assert of_law
    assert found.audit.found.counts["decided-again-the-same"] == 1
    assert of_law[0].shown[-1].startswith(of_law[0].position)


async def test_a_command_that_left_no_event_is_found_where_it_stood_last_in_its_record() -> None:
    written = Written()
    step = written.steps[len(written.steps) // 2]
    items = [item for item in unpack_items(step.value) if isinstance(item, bytes)]
    step.value = pack_items([*items, items[-1]])
    assert "no-command-is-passed-over" in await laws(written)


async def test_events_that_no_command_asked_for_are_found() -> None:
    written = Written()
    step = written.steps[len(written.steps) // 2]
    items = [item for item in unpack_items(step.value) if isinstance(item, bytes)]
    step.value = pack_items(items[:1])
    assert "every-event-has-its-command" in await laws(written)


async def test_a_log_whose_beginning_is_missing_is_found() -> None:
    written = Written()
    written.steps[0].records = [r for r in written.steps[0].records if r.topic != topics.EVENTS]
    assert "positions-in-order" in await laws(written)


async def test_where_the_first_commands_are_gone_the_rest_is_still_traced() -> None:
    written = Written()
    written.change(ev.JobStarted, other_command)
    await written.write(written.steps)
    written.log.delete_before(topics.COMMANDS, 0, 10)
    found = await written.audit()
    assert found.decided_again == 0
    assert [violation.law for violation in found.violations] == ["every-event-has-its-command"]


async def test_an_event_beyond_the_position_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written()
    await written.write(written.steps)
    record = next(r for r in reversed(written.steps[-1].records) if r.topic == topics.EVENTS)
    forged = replace(ev.decode_event(record.value or b""), position="0.999999.0.0")
    written.log.append(topics.EVENTS, 0, ev.encode_event(forged))
    auditor = PartitionAuditor(written.log, 0, None)
    await auditor.advance()
    await auditor.check_waiting(limit_s=0)
    assert [violation.law for violation in auditor.found.violations] == ["no-event-stands-beyond-the-position"]


async def test_open_work_and_an_open_transaction_are_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_audit, "REST_LIMIT_S", 0.2)
    written = Written()
    await written.write(written.steps)
    written.log.append(topics.COMMANDS, 0, written.steps[-1].value)
    found = await written.audit(quiet=True)
    assert {violation.law for violation in found.violations} == {"the-log-is-at-rest"}


async def test_a_position_beyond_the_end_of_commands_is_no_rest() -> None:
    written = Written()
    await written.write(written.steps[:-1])
    producer = written.log.producer("owner")
    await producer.initialise()
    await producer.commit([record for record in written.steps[-1].records if record.topic in TOPICS])
    auditor = PartitionAuditor(written.log, 0, None)
    await auditor.check_rest()
    assert [violation.law for violation in auditor.found.violations] == ["the-log-is-at-rest"]


async def test_a_command_that_comes_beside_the_audit_has_a_moment_to_be_decided() -> None:
    written = Written()
    last = written.steps[-1]
    await written.write(written.steps[:-1])
    written.log.append(topics.COMMANDS, 0, last.value, timestamp_ms=last.time_ms)
    audited = asyncio.create_task(written.audit(quiet=True))
    await asyncio.sleep(0.2)
    assert not audited.done()
    producer = written.log.producer("owner")
    await producer.initialise()
    await producer.commit([record for record in last.records if record.topic in TOPICS])
    assert (await audited).violations == []


@pytest.mark.parametrize("changes_max", [0, 100_000], ids=["all compared", "changes compared"])
async def test_a_log_is_followed_step_by_step_and_damage_is_found_once_and_forgotten_when_mended(
    monkeypatch: pytest.MonkeyPatch, changes_max: int
) -> None:
    monkeypatch.setattr(partition_audit, "CHANGED_MAX", changes_max)
    written = Written()
    auditor = PartitionAuditor(written.log, 0, Addressing("bench", 1))
    seen = 0
    for at in range(0, len(written.steps), 7):
        await written.write(written.steps[at : at + 7])
        seen += await auditor.advance()
    assert seen == auditor.found.audit.events == auditor.found.decided_again >= EVENTS
    assert auditor.found.violations == []
    key, value = next((k, v) for k, v in auditor.found.fold.values().items() if "|account|" in k)
    written.log.append(topics.ACCOUNTS, 0, value[:-1] + b" }", key=key.encode())
    for _ in range(2):
        assert await auditor.advance() == 0
        assert [str(v).rpartition(": ")[2] for v in auditor.found.violations] == [key]
        assert auditor.found.wrong_state == {key}
    written.log.append(topics.ACCOUNTS, 0, value, key=key.encode())
    await auditor.advance()
    assert auditor.found.wrong_state == set()
    assert len(auditor.found.violations) == 1


async def test_an_event_that_cannot_be_read_is_found_and_the_rest_is_audited() -> None:
    written = Written()
    step = written.steps[5]
    step.records.insert(0, Outgoing(topics.EVENTS, 0, b"acct", b"{broken"))
    await written.write(written.steps)
    found = await written.audit()
    assert [violation.law for violation in found.violations] == ["every-event-can-be-read"]
    assert found.decided_again >= EVENTS


async def test_a_position_that_goes_back_is_found() -> None:
    written = Written()
    await written.write(written.steps)
    auditor = PartitionAuditor(written.log, 0, None)
    await auditor.advance()
    early = next(r for r in written.steps[3].records if r.topic == topics.ACCOUNTS and b"|position|" in (r.key or b""))
    written.log.append(topics.ACCOUNTS, 0, early.value, key=early.key)
    await auditor.advance()
    assert "positions-never-go-back" in {violation.law for violation in auditor.found.violations}


async def test_a_position_whose_events_never_come_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_audit, "REACH_LIMIT_S", 0.0)
    written = Written()
    written.steps[-1].records = [r for r in written.steps[-1].records if r.topic != topics.EVENTS]
    assert "events-reach-the-position" in await laws(written)
