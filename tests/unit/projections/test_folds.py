"""What single events do to rows, and what may not be applied."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from infra.kafka.ports import Record
from infra.sealing.topic import record_key
from projections import balances, jobs
from projections.intake import FOLDS, LogUnreadable
from projections.keys import fold_keys
from projections.memory import MemoryReadModels
from projections.ports import Tracked, tracking_name
from projections.rows import DataKey, Logged
from schemas import events as ev
from schemas.commands import StoredObject
from schemas.events import decode_event, encode_event
from schemas.plans import Plan
from tests.bench.events import START_MS, Partition
from tests.unit.projections.logs import GENERATIONS, applied, folded, intake_for, records_of

ACCOUNT = "acct_" + "a" * 26
JOB = "job_" + "b" * 26


def events_of(*data: ev.AnyEvent, account: str = ACCOUNT, first: int = 1) -> list[ev.Event]:
    """One event a command, a second apart."""
    return [
        ev.Event(f"0.{n}.0.0", account, "darkroom", n, START_MS + n * 1000, f"cmd_{n}", "user", item, last=True)
        for n, item in enumerate(data, first)
    ]


def accepted(**changes: Any) -> ev.JobAccepted:
    data = ev.JobAccepted(
        JOB, "classical/upscale", "classical_upscale", "1", "standard", {"scale": 2}, None, None, 1, "default", 1, 3,
        1, 8, 0, 1, None, 9, None, None,
    )  # fmt: skip
    return msgspec.structs.replace(data, **changes)


def job_after(*data: ev.AnyEvent) -> dict[str, Any]:
    return folded({0: records_of(events_of(accepted(), *data))}).tables["jobs"][ACCOUNT, JOB]


RELEASED = ev.AttemptReleased(JOB, 1, 1, 1)
STARTED = ev.JobStarted(JOB, 1, "d", 1)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ([], "accepted"),
        ([RELEASED], "queued"),
        ([RELEASED, STARTED], "running"),
        ([RELEASED, STARTED, ev.LeaseRenewed(JOB, 1, 2)], "running"),
        ([RELEASED, STARTED, ev.AttemptEnded(JOB, 1, "transient", True, 5)], "accepted"),
        ([RELEASED, ev.AttemptEnded(JOB, 1, "transient", True, 5), ev.JobRequeued(JOB, 2)], "accepted"),
        ([RELEASED, STARTED, ev.JobFailed(JOB, 1, "broken", "It broke.")], "failed"),
        ([ev.JobCanceled(JOB, 9, None)], "canceled"),
        ([RELEASED, ev.JobCanceled(JOB, 9, None), ev.AttemptEnded(JOB, 1, "lease-ended", False, None)], "canceled"),
        ([ev.JobExpired(JOB)], "expired"),
    ],
)
def test_status_follows_the_events(data: list[ev.AnyEvent], status: str) -> None:
    assert job_after(*data)["status"] == status


def test_a_job_keeps_the_time_of_each_status() -> None:
    row = job_after(RELEASED, STARTED, ev.JobFailed(JOB, 1, "broken", "It broke."))
    times = [row[name] - START_MS for name in ("accepted_ms", "queued_ms", "running_ms", "ended_ms")]
    assert times == [1000, 2000, 3000, 4000]
    assert (row["reason"], row["detail"], row["accepted_at"], row["position"]) == (
        "broken",
        "It broke.",
        "0.1.0.0",
        "0.4.0.0",
    )


def test_a_job_runs_from_when_its_attempt_began_not_from_when_that_was_told() -> None:
    row = job_after(RELEASED, ev.JobStarted(JOB, 1, "d", 1, ran_ms=40))
    assert row["running_ms"] - START_MS == 3000 - 40


HIDDEN = ev.JobHidden(JOB, False, 9, None)


@pytest.mark.parametrize("data", [[ev.JobExpired(JOB), HIDDEN], [RELEASED, ev.JobCanceled(JOB, 9, None), HIDDEN]])
def test_a_hidden_job_is_marked_whatever_the_batches_are(data: list[ev.AnyEvent]) -> None:
    records = records_of(events_of(accepted(), *data, ev.AttemptEnded(JOB, 1, "lease-ended", False, None)))
    rows = []
    for size in range(1, len(records) + 1):
        store = MemoryReadModels()
        intake = intake_for(store, [0])
        for at in range(0, len(records), size):
            assert applied(store, intake.take_events({0: records[at : at + size]})) == []
        rows.append(store.tables["jobs"][ACCOUNT, JOB])
    assert all(row == rows[0] for row in rows)
    assert rows[0]["hidden_ms"] == START_MS + 1000 * (1 + len(data))
    assert rows[0]["position"] == f"0.{2 + len(data)}.0.0"


def test_a_hide_of_a_job_that_never_was_leaves_no_hole() -> None:
    assert folded({0: records_of(events_of(HIDDEN))}).tables["jobs"] == {}


def test_a_charge_is_what_was_captured() -> None:
    row = job_after(ev.CreditsCaptured(JOB, 3, 1, 6))
    assert (row["charged"], row["balance"]) == (3, 6)


@pytest.mark.parametrize(
    "known",
    [
        jobs.HANDLERS.keys() | jobs.OTHERS.keys() | jobs.IGNORED,
        balances.HANDLERS.keys() | balances.OTHERS.keys() | balances.VERSION_ONLY,
    ],
)
def test_every_event_type_is_handled_or_named_as_ignored(known: set[type[ev.EventData]]) -> None:
    assert known == set(get_args(ev.AnyEvent))


def test_a_window_that_began_anew_replaces_the_old_one() -> None:
    day = 86_400_000

    def reserved(job: str, start_ms: int) -> ev.CreditsReserved:
        return ev.CreditsReserved(job, 1, (ev.WindowUse("day", start_ms, 1),), 1, 0)

    released = ev.CreditsReleased("j1", 1, (ev.WindowUse("day", 0, 1),), "failed", 0)
    jobs = [accepted(job="j1"), accepted(job="j2")]
    store = folded({0: records_of(events_of(*jobs, reserved("j1", 0), reserved("j2", day), released))})
    assert store.tables["account_windows"][ACCOUNT, "day"] == {
        "account": ACCOUNT,
        "kind": "day",
        "start_ms": day,
        "used": 1,
    }


def test_regeneration_moves_the_clock_and_every_line_knows_where_it_stands() -> None:
    opened = ev.AccountOpened("default", 1, None)
    store = folded({0: records_of(events_of(opened, ev.CreditsRegenerated(0, 7, 5), ev.CreditsRegenerated(2, 9, 7)))})
    row = store.tables["accounts"][ACCOUNT,]
    assert (row["since_ms"], row["regenerated"], row["opened_ms"]) == (9, 2, START_MS + 1000)
    assert [(line["amount"], line["since_ms"]) for line in store.tables["ledger"].values()] == [(0, 7), (2, 9)]


def test_another_plan_begins_the_clock_anew() -> None:
    opened, changed = ev.AccountOpened("default", 1, None), ev.PlanChanged("gold", 1, 0, None)
    store = folded({0: records_of(events_of(opened, ev.CreditsRegenerated(0, START_MS, 5), changed))})
    row = store.tables["accounts"][ACCOUNT,]
    assert (row["plan"], row["since_ms"]) == ("gold", START_MS + 3000)


def test_the_newest_plan_of_a_partition_stands() -> None:
    plans = [ev.PlanPublished(Plan(version=v, products={}, models={})) for v in (1, 2)]
    store = folded({3: records_of(events_of(*plans, ev.PartitionResumed(), account="partition-3"))})
    row = store.tables["partitions"][3,]
    assert (row["plan_version"], row["version"], row["plan"]["version"]) == (2, 3, 2)
    assert store.tables["accounts"] == {}


def test_half_a_decision_waits_for_its_other_half() -> None:
    store = MemoryReadModels()
    intake = intake_for(store, [0])
    first, second = events_of(accepted(), ev.CreditsReserved(JOB, 1, (), 1, 9))
    half = msgspec.structs.replace(first, last=False)
    whole = records_of([half, second])
    assert intake.take_events({0: whole[:1]}) is None
    work = intake.take_events({0: whole[1:]})
    assert work is not None
    assert work.events == 2
    assert [str(position) for position in work.reached] == [second.position]


def test_a_model_that_is_ahead_gets_nothing_twice() -> None:
    log = {0: records_of(Partition(0, partitions=1, accounts=2).events(60))}
    store = folded(log)
    ahead = {name: rows.copy() for name, rows in store.tables.items()}
    name = tracking_name(jobs.NAME, GENERATIONS[jobs.NAME], 0)
    for table in ("jobs", "job_events"):
        store.tables[table].clear()
    store.tracked[name] = Tracked()
    assert applied(store, intake_for(store, [0]).take_events(log)) == []
    assert store.tables["ledger"] == ahead["ledger"]
    assert store.tables["accounts"] == ahead["accounts"]
    assert store.tables["jobs"] == ahead["jobs"]
    assert len({tracked.offset for name, tracked in store.tracked.items() if name.split(".")[0] in FOLDS}) == 1


def test_a_hole_in_the_versions_is_found_within_a_batch_and_between_two() -> None:
    events = events_of(*(ev.CommandIgnored("tick", "nothing") for _ in range(5)))
    store = MemoryReadModels()
    intake = intake_for(store, [0])
    (within,) = applied(store, intake.take_events({0: records_of([events[0], events[2]])}))
    assert within.startswith(f"2 events for {ACCOUNT} in one batch")
    (between,) = applied(store, intake.take_events({0: records_of(events[4:], begin=2)}))
    assert between == f"('{ACCOUNT}',) goes on with version 5 after 3"


def test_an_event_of_a_newer_release_stops_the_projection_with_its_place() -> None:
    event = events_of(accepted())[0]
    newer = encode_event(msgspec.structs.replace(event, schema=2))
    strange = encode_event(event).replace(b"job-accepted", b"job-dreamed")
    for value in (newer, strange, b"", b"{"):
        with pytest.raises(LogUnreadable, match=r"The event at offset 7 of events-0 cannot be read by this release"):
            intake_for(MemoryReadModels(), [0]).take_events({0: [Record(7, 0, b"", value)]})


def test_the_last_state_of_a_key_counts_and_strange_records_are_left_out() -> None:
    records = [
        Record(0, 0, record_key("acct_a", "key_1"), b"one"),
        Record(1, 0, b"acct_a.key_2", b"two"),
        Record(2, 0, b"acct_a.key_1", None),
        Record(3, 0, b"nonsense", b"x"),
    ]
    (rows,) = fold_keys(records).values()
    assert list(rows) == [
        DataKey(account="acct_a", key_id="key_1"),
        DataKey(account="acct_a", key_id="key_2", wrapped="dHdv"),
    ]


def test_each_kind_of_row_belongs_to_one_model() -> None:
    log = {0: records_of(Partition(0, partitions=1, accounts=3).events(200))}
    batch = [logged for records in log.values() for logged in _logged(records)]
    kinds = [kind for fold in FOLDS.values() for kind in fold(batch)]
    assert len(kinds) == len(set(kinds)) == 11


def _logged(records: list[Record]) -> list[Logged]:
    return [Logged(0, record.offset, decode_event(record.value or b""), record.value or b"") for record in records]


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_an_asset_is_gone_since_its_first_erasure_however_events_are_batched(cut: int) -> None:
    stored = StoredObject("a/1", 10, "ab" * 32, "png", 4, 4)
    registered = ev.AssetRegistered("asset_1", 1, stored, None, None)
    records = records_of(events_of(registered, ev.AccountErased(1), ev.AccountErased(1)))
    store = MemoryReadModels()
    intake = intake_for(store, [0])
    for part in (records[:cut], records[cut:]):
        assert applied(store, intake.take_events({0: part})) == []
    assert store.tables["assets"][ACCOUNT, "asset_1"]["gone_ms"] == START_MS + 2000
