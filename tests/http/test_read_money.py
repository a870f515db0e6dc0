"""Balances at any moment, charges, usage, statistics, plans and the trail of accesses, from events to answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from infra.kafka.ports import Record
from infra.settings import Settings
from projections.audit import PostgresAudit
from projections.ports import Move, Tracked
from schemas import events as ev
from schemas.accesses import Access, AccessRecord, Action, encode_accesses
from schemas.cloudevents import rfc3339
from schemas.identifiers import partition_of, partition_stream
from schemas.plans import CostRule, ModelTerms
from tests.http.fakes import NOW_MS
from tests.http.reading import PARTITIONS, PLAN, Reading, accepted, document, open_reading, opening, stored

DAY_MS = 86_400_000
TODAY_MS = NOW_MS - NOW_MS % DAY_MS
MODEL = ModelTerms(
    engine="e", engine_version="1", lane="standard", cost=CostRule(1, {"scale": {"2": 2, "4": 5}}), takes_input=True
)


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    async with open_reading(postgres, tmp_path) as opened:
        yield opened


async def test_lots_are_spendable_until_their_time_is_over_booked_or_not(side: Reading) -> None:
    account = side.account()
    granted = ev.CreditsGranted(5, "gift", 15, None, expires_ms=NOW_MS + 1000, priority=-1)
    position = side.log.say(account, *opening(10), granted)
    lot = position[:-1] + "2"
    use = ev.CreditsReserved("job_1", 2, (), 1, 13, lots=(ev.LotUse(lot, 2, NOW_MS + 1000),))
    side.log.say(account, accepted("job_1"), use)
    now = document(await side.get("/v1/account"))
    expires_at = rfc3339(NOW_MS + 1000)
    assert now["balance"] == 13
    assert now["lots"] == [{"lot": lot, "units": 3, "priority": -1, "expires_at": expires_at}]
    side.clock.advance(1000)
    later = document(await side.get("/v1/account"))
    assert (later["balance"], later["lots"]) == (10, [])
    side.log.say(account, ev.CreditsExpired(lot, 3, 10), time_ms=NOW_MS + 1001)
    booked = document(await side.get("/v1/account"))
    assert (booked["balance"], booked["lots"]) == (10, [])
    lines = document(await side.get("/v1/ledger", params={"kind": "expired"}))["data"]
    assert [(line["change"], line["balance"], line["lots"]) for line in lines] == [(-3, 10, [{"lot": lot, "units": 3}])]


async def test_a_balance_as_of_a_position_and_a_time(side: Reading) -> None:
    spike = side.account(product="spike-land")
    plan = {"product": "spike-land"}
    start_ms = NOW_MS - 3 * DAY_MS
    first = side.log.say(spike, *opening(100), time_ms=start_ms, **plan)
    job = accepted("job_1"), ev.CreditsReserved("job_1", 30, (), 1, 70)
    second = side.log.say(spike, *job, time_ms=start_ms + 1000, **plan)
    side.log.say(spike, ev.CreditsCaptured("job_1", 30, 1, 70), time_ms=start_ms + 2000, **plan)

    async def at(as_of: str) -> tuple[int, int]:
        answer = await side.get("/v1/account", product="spike-land", params={"as_of": as_of})
        assert answer.status_code == 200, answer.text
        found = document(answer)
        assert found["as_of"] == as_of
        return found["balance"], found["reserved"]

    assert await at(first[:-1] + "1") == (100, 0)
    assert await at(second[:-1] + "1") == (70, 30)
    assert await at(rfc3339(start_ms + 1500)) == (70, 30)
    assert await at(rfc3339(start_ms + 3 * 900_000)) == (73, 0), "regenerated since"
    assert await at(rfc3339(start_ms - 1)) == (100, 0), "before it opened it stood by its opening terms"
    assert await at(rfc3339(NOW_MS)) == (100, 0)


@pytest.mark.parametrize("as_of", ["yesterday", "2026-01-31T12:00:00", "1.2.3", rfc3339(NOW_MS + 60_000)])
async def test_a_moment_that_cannot_be_shown_is_named(side: Reading, as_of: str) -> None:
    side.log.say(side.account(), *opening())
    answer = await side.get("/v1/account", params={"as_of": as_of})
    assert answer.status_code == 400
    assert document(answer)["errors"][0]["field"] == "as_of"


async def test_a_position_beyond_the_log_or_of_another_partition_is_refused_at_once(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening())
    own = partition_of(account, PARTITIONS)
    for partition in (own, (own + 1) % PARTITIONS):
        answer = await side.get("/v1/account", params={"as_of": f"{partition}.99999.0.0"})
        assert answer.status_code == 400
        assert document(answer)["errors"][0]["field"] == "as_of"


async def test_an_account_as_of_a_version_is_folded_from_the_archive(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening(10), accepted("job_1"), ev.CreditsReserved("job_1", 3, (), 1, 7))
    side.log.say(account, ev.CreditsCaptured("job_1", 3, 1, 7))
    shown = []
    for version in range(1, 6):
        found = document(await side.get("/v1/account", params={"version": str(version)}))
        shown.append((found["balance"], found["reserved"]))
    assert shown == [(0, 0), (10, 0), (10, 0), (7, 3), (7, 0)]
    for text in ("6", "0", "x"):
        answer = await side.get("/v1/account", params={"version": text})
        assert answer.status_code == 400
        assert document(answer)["errors"][0]["field"] == "version"


async def test_a_charge_names_its_rule_its_plan_of_then_and_every_booking(side: Reading) -> None:
    account = side.account()
    partition = partition_of(account, PARTITIONS)
    models = {"classical/upscale": MODEL}
    for version, planned in ((2, models), (3, {})):
        plan = ev.PlanPublished(replace(PLAN, version=version, models=planned))
        side.log.say(partition_stream(partition), plan, product="", time_ms=NOW_MS + version)
    window = ev.WindowUse("day", TODAY_MS, 1)
    job = replace(accepted("job_1"), plan_version=2, cost=3)
    reserved = ev.CreditsReserved("job_1", 3, (window,), 2, 7, lots=(ev.LotUse("0.0.0.1", 2),))
    captured = ev.CreditsCaptured("job_1", 3, 2, 7)
    refunded = ev.CreditsRefunded("job_1", 3, (window,), 2, "complaint", 10, None)
    positions = [side.log.say(account, *opening(10), job, reserved), side.log.say(account, captured, refunded)]
    charge = document(await side.get("/v1/jobs/job_1/charge"))
    assert charge["price"] == {
        "base": 1,
        "per": {"scale": {"2": 2, "4": 5}},
        "applied": {"base": 1, "scale=2": 2},
    }
    assert (charge["plan"]["name"], charge["plan"]["version"]) == ("default", 2)
    assert charge["plan"]["terms"]["in_flight_jobs_max"] == 8
    assert (charge["charged"], charge["refunded"], charge["cost"]) == (3, 3, 3)
    assert [(use["window"], use["units"]) for use in charge["windows"]] == [("day", 1)]
    assert charge["lots"] == [{"lot": "0.0.0.1", "units": 2}]
    assert [(line["kind"], line["change"], line["position"]) for line in charge["lines"]] == [
        ("reserved", -3, positions[0][:-1] + "3"),
        ("captured", 0, positions[1][:-1] + "0"),
        ("refunded", 3, positions[1][:-1] + "1"),
    ]
    assert (await side.get("/v1/jobs/job_1/charge", "bob")).status_code == 404
    plans = document(await side.get("/v1/plans"))
    assert [(plan["version"], plan["in_force"]) for plan in plans["versions"]] == [(3, True), (2, False), (1, False)]
    assert (plans["product"], [plan["name"] for plan in plans["data"]]) == ("darkroom", ["default"])


async def test_usage_and_statistics_count_days_models_and_durations(side: Reading) -> None:
    account = side.account(product="studio")
    studio = {"product": "studio"}
    side.log.say(account, ev.AccountOpened("default", 1, None), time_ms=NOW_MS - 40 * DAY_MS, **studio)
    for n in range(10):
        at_ms = NOW_MS + n * 1000
        window = ev.WindowUse("day", TODAY_MS, 1)
        side.log.say(
            account, accepted(f"job_{n}"), ev.CreditsReserved(f"job_{n}", 2, (window,), 1, 0), time_ms=at_ms, **studio
        )
        side.log.say(account, ev.JobStarted(f"job_{n}", 1, "d", 0), time_ms=at_ms + 100, **studio)
        end: tuple[ev.AnyEvent, ...] = (ev.JobFailed(f"job_{n}", 1, "broken", "It broke."),)
        if n < 8:
            made = ev.JobSucceeded(f"job_{n}", 1, f"asset_{n}", n + 1, stored("k", b"x", "ab" * 32), 5)
            end = (made, ev.CreditsCaptured(f"job_{n}", 2, 1, 0))
        side.log.say(account, *end, time_ms=at_ms + 100 + 2 ** (n % 3) * 1000, **studio)
    side.log.say(account, ev.CreditsRefunded("job_0", 2, (), 1, "x", 0, None), time_ms=NOW_MS + 20_000, **studio)
    side.log.say(account, ev.ThresholdReached("day", 80, 40, 50, TODAY_MS + DAY_MS), time_ms=NOW_MS, **studio)
    side.clock.advance(30_000)
    usage = document(await side.get("/v1/usage", product="studio"))
    assert [(quota["window"], quota["used"], quota["limit"]) for quota in usage["quota"]] == [("day", 10, 50)]
    counted = {"submitted": 10, "succeeded": 8, "failed": 2, "canceled": 0, "expired": 0, "credits": 14}
    assert usage["today"] == {**counted, "success_rate": 0.8}
    assert usage["entitlements"]["in_flight_jobs_max"] == 8
    assert [(reached["of"], reached["percent"]) for reached in usage["thresholds"]] == [("day", 80)]
    found = document(await side.get("/v1/statistics", product="studio", params={"days": "7"}))
    assert found["totals"] == usage["today"]
    assert [day["date"] for day in found["days"]] == [rfc3339(NOW_MS)[:10]]
    (model,) = found["models"]
    assert (model["model"], model["succeeded"], model["failed"], model["credits"]) == ("classical/upscale", 8, 2, 14)
    assert 80 < model["wait_ms"]["p50"] < 130
    assert 1_600 < model["run_ms"]["p50"] < 2_900
    assert 3_000 < model["run_ms"]["p99"] < 6_000
    assert (await side.get("/v1/statistics", params={"days": "0"})).status_code == 400
    assert (await side.get("/v1/admin/statistics")).status_code == 403
    everybody = await side.http.get("/v1/admin/statistics", headers=side.admin())
    assert document(everybody)["totals"]["submitted"] == 10


async def test_the_trail_says_who_read_changed_and_deleted_what(side: Reading) -> None:
    account, other = side.account(), side.account("bob")
    store = PostgresAudit(side.dsn)
    done: list[tuple[str, Action]] = [(account, "read"), (other, "read"), (account, "delete")]
    entries = tuple(
        Access(NOW_MS + n, actor, "user", action, "op", (f"job_{n}",), 200, "address", "trace", 1 + n)
        for n, (actor, action) in enumerate(done)
    )
    value = encode_accesses(AccessRecord("b1", account, entries))
    store.generation()
    store.positions(["audit.1.0"])
    store.write([Move("audit.1.0", -1, Tracked(0))], {0: [Record(0, 0, account.encode(), value)]})
    store.close()
    first = document(await side.get("/v1/audit", params={"limit": "2"}))
    assert [(e["action"], e["own"], e["objects"], e["times"]) for e in first["data"]] == [
        ("delete", True, ["job_2"], 3),
        ("read", False, ["job_1"], 2),
    ]
    rest = document(await side.get("/v1/audit", params={"limit": "2", "cursor": first["next_cursor"]}))
    assert [e["objects"] for e in rest["data"]] == [["job_0"]]
    assert len(document(await side.get("/v1/audit", params={"action": "read", "object": "job_1"}))["data"]) == 1
    assert document(await side.get("/v1/audit", "bob"))["data"] == []
    assert (await side.get(f"/v1/admin/accounts/{account}/audit")).status_code == 403
    of_ada = await side.http.get(f"/v1/admin/accounts/{account}/audit", headers=side.admin())
    assert len(document(of_ada)["data"]) == 3
    by_name = await side.http.get("/v1/admin/accounts/darkroom:ada/audit", headers=side.admin())
    assert document(by_name) == document(of_ada)
    nobody = await side.http.get("/v1/admin/accounts/ada/audit", headers=side.admin())
    assert (nobody.status_code, nobody.json()["errors"][0]["field"]) == (400, "account")
