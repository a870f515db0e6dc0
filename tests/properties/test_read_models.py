"""The read models over logs that the decider itself has written: they say what its own state says."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.account_fold import AccountFold
from infra.kafka.ports import Record
from processors.accounts.state import Account
from processors.assets.state import Album, Asset
from processors.jobs.state import Job
from projections.memory import MemoryReadModels
from schemas import events as ev
from tests.properties.scripts import Player, Step, scripts
from tests.properties.test_projections import _rows
from tests.unit.projections.logs import applied, folded, intake_for, records_of

BEFORE_BOOKING = (ev.GroupAccepted, ev.JobAccepted, ev.JobCanceled, ev.PlanChanged)
ENDED = ("succeeded", "failed", "canceled", "expired")


def played(script: list[Step]) -> tuple[Player, list[Record]]:
    player = Player()
    player.check_each = False
    player.play(script)
    return player, records_of(player.events)


@given(script=scripts, sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_folding_in_pieces_is_folding_at_once(script: list[Step], sizes: list[int]) -> None:
    _, records = played(script)
    whole, store = folded({0: records}), MemoryReadModels()
    intake, at = intake_for(store, [0]), 0
    for size in cycle(sizes):
        assert applied(store, intake.take_events({0: records[at : at + size]})) == []
        at += size
        if at >= len(records):
            break
    assert _rows(store) == _rows(whole)


@given(script=scripts)
def test_accounts_are_what_the_decider_holds(script: list[Step]) -> None:
    player, records = played(script)
    tables = folded({0: records}).tables
    headers = {k.split("|")[0]: r for k, r in player.state().items() if isinstance(r, Account)}
    totals = ("version", "plan", "granted", "regenerated", "refunded", "captured", "reserved", "expired")
    held = {account: {name: getattr(header, name) for name in totals} for account, header in headers.items()}
    assert {account: {name: row[name] for name in totals} for (account,), row in tables["accounts"].items()} == held
    for account, header in headers.items():
        days = [row for (owner, _), row in tables["account_days"].items() if owner == account]
        assert all(sum(day[name] for day in days) == held[account][name] for name in totals[2:])
        lots = {lot: row for (owner, lot), row in tables["lots"].items() if owner == account and not row["closed"]}
        assert {lot: row["units_left"] for lot, row in lots.items() if row["units_left"]} == {
            lot.lot: lot.units for lot in header.lots if lot.units
        }
        assert all(
            (lots[lot.lot]["expires_ms"], lots[lot.lot]["priority"]) == (lot.expires_ms, lot.priority)
            for lot in header.lots
        )
        for use in header.windows:
            row = tables["account_windows"][account, use.kind]
            assert (row["start_ms"], row["used"]) == (use.start_ms, use.units)
        assert tables["accounts"][account,]["since_ms"] == header.regenerating_since_ms


@given(script=scripts)
def test_assets_and_albums_are_what_the_decider_holds(script: list[Step]) -> None:
    player, records = played(script)
    tables, state = folded({0: records}).tables, player.state()
    through = {key.split("|")[0]: r.erased_through for key, r in state.items() if isinstance(r, Account)}
    live: dict[tuple[str, str], Asset] = {}
    for key, record in state.items():
        account, _, name = key.split("|", 2)
        if isinstance(record, Asset) and record.number > through[account]:
            live[account, name] = record
    rows = {place: row for place, row in tables["assets"].items() if row["gone"] is None}
    assert rows.keys() == live.keys()
    albums = {tuple(key.split("|")[::2]) for key, record in state.items() if isinstance(record, Album)}
    assert {place for place, row in tables["albums"].items() if row.get("gone_ms") is None} == albums
    for place, asset in live.items():
        assert (rows[place]["number"], rows[place]["public"]) == (asset.number, asset.public)
        account, name = place
        of = {a for (o, a, n), row in tables["album_assets"].items() if (o, n) == place and row["present"]}
        assert {album for album in of if (account, album) in albums} == {
            album for album in asset.albums if (account, album) in albums
        }


@given(script=scripts)
def test_jobs_are_what_the_decider_holds_and_every_end_is_counted(script: list[Step]) -> None:
    player, records = played(script)
    tables, state = folded({0: records}).tables, player.state()
    ending = {tuple(key.split("|")[::2]) for key, r in state.items() if isinstance(r, Job)}
    live = {place for place, row in tables["jobs"].items() if row["outcome"] is None}
    assert live <= ending
    assert all((row["outcome"] or row["status"]) == row["status"] for row in tables["jobs"].values())
    counted: dict[tuple[str, str], int] = {}
    for (account, *_), row in tables["job_counts"].items():
        counted[account, row["status"]] = counted.get((account, row["status"]), 0) + row["jobs"]
    for status in ENDED:
        for (account,) in tables["accounts"]:
            jobs = [row for (owner, _), row in tables["jobs"].items() if owner == account]
            ended = sum(row["status"] == status for row in jobs)
            days = [row for (owner, _), row in tables["account_days"].items() if owner == account]
            assert counted.get((account, status), 0) == sum(day[f"jobs_{status}"] for day in days) == ended
    credits = sum(row["credits"] for row in tables["job_counts"].values() if row["status"] == "succeeded")
    assert credits == sum(row["captured"] for row in tables["accounts"].values())


@given(script=scripts)
def test_each_job_charge_and_result_is_told_alike_by_every_table(script: list[Step]) -> None:
    _, records = played(script)
    tables = folded({0: records}).tables
    sums: dict[tuple[str, str, str], int] = {}
    for line in tables["ledger"].values():
        if line["job"] is not None:
            place = (line["account"], line["job"], line["kind"])
            sums[place] = sums.get(place, 0) + line["amount"]
    for (account, job), row in tables["jobs"].items():
        assert row["charged"] == sums.get((account, job, "captured"), 0)
        assert row["refunded"] == sums.get((account, job, "refunded"), 0)
        if row["asset"] is not None:
            asset: dict[str, Any] = tables["assets"][account, row["asset"]]
            assert (asset["job"], asset["number"], asset["gone"]) == (job, row["asset_number"], row.get("result_gone"))


@given(script=scripts)
def test_the_fold_of_a_prefix_is_what_the_decider_held_then(script: list[Step]) -> None:
    player, _ = played(script)
    headers = {k.split("|")[0]: r for k, r in player.state().items() if isinstance(r, Account)}
    folds: dict[str, AccountFold] = {}
    for event in player.events:
        if event.account in headers:
            fold = folds.setdefault(event.account, AccountFold())
            fold.add(event)
            sums = fold.sums
            available = sums["granted"] + sums["regenerated"] + sums["refunded"]
            available -= sums["captured"] + sums["reserved"] + sums["expired"]
            balance = getattr(event.data, "balance", None)
            assert balance is None or isinstance(event.data, BEFORE_BOOKING) or available == balance
    for account, header in headers.items():
        fold = folds[account]
        assert (fold.plan_name, fold.since_ms) == (header.plan, header.regenerating_since_ms)
        assert fold.sums == {name: getattr(header, name) for name in fold.sums}
        assert {lot.lot: lot.units for lot in fold.lots} == {lot.lot: lot.units for lot in header.lots if lot.units}
        assert sorted(fold.windows) == sorted((use.kind, use.start_ms, use.units) for use in header.windows)
