"""Laws of the read models over synthetic logs: any split is the whole, twice is once, the ledger adds up."""

from __future__ import annotations

from collections import Counter
from itertools import cycle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.ports import Record
from projections.memory import MemoryReadModels
from tests.bench.events import Partition
from tests.unit.projections.logs import applied, folded, intake_for, log_of, parts_of

logs = st.builds(
    lambda seed, accounts, events: parts_of(
        log_of([Partition(n, partitions=2, accounts=accounts, seed=seed) for n in range(2)], events)
    ),
    seed=st.integers(0, 10_000),
    accounts=st.integers(1, 6),
    events=st.integers(1, 150),
)


@given(log=logs, sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8))
def test_folding_in_pieces_is_folding_at_once(log: dict[int, list[Record]], sizes: list[tuple[int, int]]) -> None:
    whole, store = folded(log), MemoryReadModels()
    intake = intake_for(store, list(log))
    at, pieces = dict.fromkeys(log, 0), cycle(sizes)
    while any(at[p] < len(records) for p, records in log.items()):
        ends = {p: at[p] + size for p, size in zip(log, next(pieces), strict=True)}
        assert applied(store, intake.take_events({p: log[p][at[p] : end] for p, end in ends.items()})) == []
        at = ends
    assert _rows(store) == _rows(whole)
    assert store.tracked == whole.tracked
    assert store.reached == whole.reached


@given(log=logs, data=st.data())
def test_reading_again_from_anywhere_changes_nothing(log: dict[int, list[Record]], data: st.DataObject) -> None:
    store = folded(log)
    before = _rows(store)
    again = {p: records[data.draw(st.integers(0, len(records))) :] for p, records in log.items()}
    assert intake_for(store, list(log)).take_events(again) is None
    assert _rows(store) == before


@given(log=logs)
def test_the_ledger_of_each_account_adds_up(log: dict[int, list[Record]]) -> None:
    tables = folded(log).tables
    signs = {"granted": 1, "regenerated": 1, "reserved": -1, "captured": 0, "released": 1}
    sums: Counter[str] = Counter()
    balances: dict[str, int] = {}
    for (account, _), line in sorted(tables["ledger"].items()):
        sums[account] += signs[line["kind"]] * line["amount"]
        assert line["balance"] == sums[account]
        balances[account] = line["balance"]
    for (account,), row in tables["accounts"].items():
        available = row["granted"] + row["regenerated"] - row["captured"] - row["reserved"] - row["expired"]
        assert available == balances[account] >= 0
    charged: Counter[str] = Counter()
    for (account, _), job in tables["jobs"].items():
        charged[account] += job["charged"]
    assert all(row["captured"] == charged[account] for (account,), row in tables["accounts"].items())
    assert all(row["used"] >= 0 for row in tables["account_windows"].values())


@given(log=logs)
def test_every_event_of_a_job_is_in_its_history_once(log: dict[int, list[Record]]) -> None:
    tables = folded(log).tables
    told = [line for row in tables["job_events"].values() for line in row["events"].split(b"\n")]
    about_jobs = [r.value for records in log.values() for r in records if r.value and b'"job":' in r.value]
    assert sorted(told) == sorted(about_jobs)


def _rows(store: MemoryReadModels) -> dict[str, Any]:
    """All tables; a job's history as one text, because each batch may begin a row of it."""
    history: dict[tuple[str, str], list[bytes]] = {}
    for (account, job, _), row in sorted(store.tables["job_events"].items()):
        history.setdefault((account, job), []).append(row["events"])
    joined = {place: b"\n".join(parts) for place, parts in history.items()}
    return {**store.tables, "job_events": joined}
