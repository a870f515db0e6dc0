"""What must hold at the end of a life, whatever struck.

Checked here, by the invariants' numbers: I1 and I3 (what clients were told against the log, item by item), I2 (an item
is decided once, a key makes one thing within its life), I4 (read models, work and replies stem from committed records
alone), I5 to I9 (the books at every prefix, transitions, versions, whole commands, positions without a hole: Watch
feeds them to `PartitionAudit` as the log grows, `tests.laws` reads the log with other eyes), I10 (the commands are
decided again to the same bytes; the same seed lives the same life in another process with another hash seed:
`test_lives`), I11 (read models against a fold from nothing, rows and positions), I12 (clients read back at the position
of their answer), I13 (a result's bytes are there with their hash, or a purge of them is on the log; nothing is written
over), I14 (an attempt is handed out once and its effect counts once), I15 (all jobs end, every partition goes on, the
last stable offset is the end). I6 for windows of a day, and memory, files and disks of I15, are held elsewhere:
`tests/properties`, `tests/chaos` and the soak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from processors.effects import Addressing
from processors.partition_audit import audit_partition
from schemas import events as ev
from schemas import topics
from schemas.work import decode_work
from tests.laws import check_log, check_state, decoded
from tests.simulation.told import check_told
from tests.simulation.watch import Watch
from tests.simulation.world import PARTITIONS, SETTINGS, World
from tests.unit.projections.logs import folded

if TYPE_CHECKING:
    from tests.simulation.life import Life


async def judge(life: Life) -> None:
    """Raise AssertionError for the first thing that does not hold."""
    world, watch = life.world, life.watch
    assert world.complaints == [], world.complaints
    for partition in range(PARTITIONS):
        await _check_partition(world, watch, partition)
    _check_projections(world)
    _check_work(world)
    _check_bytes(world, watch)
    check_told(life.clients.told, world.broker, watch)


async def _check_partition(world: World, watch: Watch, partition: int) -> None:
    events, audit = watch.events[partition], watch.audits[partition]
    audit.finish(quiet=True)
    assert not (broken := watch.violations()), broken
    check_log(events, quiet=True)
    decided = [event.at.source for event in events if event.last]
    assert decided == watch.items(partition), "every item is decided once, in its order"
    quarantined = any(isinstance(event.data, ev.CommandQuarantined) for event in events)
    found = await audit_partition(
        world.network.reader(), partition, Addressing(SETTINGS.deployment, PARTITIONS), quiet=True
    )
    held = [v for v in found.violations if v.law != "decided-again-the-same" or not quarantined]
    assert not held, [str(violation) for violation in held]
    check_state(decoded(found.fold.values()))
    _check_keys(events)
    _check_settled(events)
    for name in topics.TOPICS:
        log = world.broker.partitions.get((name.name, partition))
        assert log is None or log.end(committed=True) == len(log.entries), f"{name.name}-{partition} is held open"


def _check_keys(events: Iterable[ev.Event]) -> None:
    """A key makes one thing within its life."""
    lives: dict[tuple[str, str], int] = {}
    for event in events:
        use = getattr(event.data, "idempotency", None)
        if isinstance(use, ev.IdempotencyUse):
            assert lives.get((event.account, use.key), 0) <= event.time_ms, f"{event.position} used a key again"
            lives[event.account, use.key] = use.expires_ms


def _check_settled(events: Iterable[ev.Event]) -> None:
    """A charge for each result, and the money back for every other end."""
    ends: dict[tuple[str, str], list[str]] = {}
    for event in events:
        match event.data:
            case ev.JobSucceeded(job=job) | ev.CreditsCaptured(job=job):
                ends.setdefault((event.account, job), []).append("served")
            case ev.JobFailed(job=job) | ev.JobCanceled(job=job) | ev.JobExpired(job=job) | ev.CreditsReleased(job=job):
                ends.setdefault((event.account, job), []).append("returned")
            case _:
                pass
    wrong = {job: how for job, how in ends.items() if how not in (["served"] * 2, ["returned"] * 2)}
    assert not wrong, f"money that does not go with the end of its job: {wrong}"


def _check_projections(world: World) -> None:
    """Rows and positions of the read models are those of a fold from nothing."""
    logs = {partition: world.broker.partitions[topics.EVENTS, partition] for partition in range(PARTITIONS)}
    whole = folded({p: log.readable(0, log.end(committed=True), committed=True) for p, log in logs.items()})
    for name, table in whole.tables.items():
        live, fresh = world.models.tables[name], table
        if name == "job_events":
            live, fresh = _joined(live), _joined(fresh)
        assert live == fresh, f"{name}: {_difference(live, fresh)}"
    events = {name: at for name, at in world.models.tracked.items() if not name.startswith("keys.")}
    fresh_events = {name: at for name, at in whole.tracked.items() if not name.startswith("keys.")}
    assert events == fresh_events, _difference(events, fresh_events)
    assert world.models.reached == whole.reached


def _joined(table: Mapping[Any, Any]) -> dict[Any, Any]:
    """A job's history as one text: each batch may have begun a row of it."""
    history: dict[Any, list[bytes]] = {}
    for (account, job, _), row in sorted(table.items()):
        history.setdefault((account, job), []).append(row["events"])
    return {place: b"\n".join(parts) for place, parts in history.items()}


def _difference(live: Mapping[Any, Any], fresh: Mapping[Any, Any]) -> str:
    key = next(key for key in (*live, *fresh) if live.get(key) != fresh.get(key))
    return f"{key}: {live.get(key)} stands, {fresh.get(key)} is folded"


def _check_work(world: World) -> None:
    """An attempt is handed out once."""
    handed: Counter[tuple[str, int]] = Counter()
    for (topic, _), log in world.broker.partitions.items():
        if topic.startswith("dispatch.") and topic != topics.dispatch_topic(topics.HOUSEKEEPING):
            for record in log.readable(0, log.end(committed=True), committed=True):
                item = decode_work(record.value or b"")
                handed[item.job, item.attempt] += 1
    assert set(handed.values()) <= {1}, "an attempt was handed out twice"


def _check_bytes(world: World, watch: Watch) -> None:
    """Results are where the log says, unless a purge of them is there too; nothing was written over."""
    assert world.store.replaced == []
    for events in watch.events:
        released = {key for event in events if isinstance(event.data, ev.PurgeReleased) for key in event.data.keys}
        erased = {event.account for event in events if isinstance(event.data, ev.AccountErased)}
        for event in events:
            if isinstance(event.data, ev.JobSucceeded) and event.account not in erased:
                result = event.data.result
                if result.key not in released:
                    assert world.store.digest(result.key) == result.sha256, (
                        f"{result.key} is not what {event.position} says"
                    )
