"""POST /v1/estimate: the decider's answer before it is asked, and nothing on the log."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from infra.postgres.spending import Spending
from schemas.amounts import window_start_ms
from schemas.catalogue import model_terms
from schemas.plans import AccountTerms, Plan, RegenerationTerms, WindowTerms
from schemas.spendable import LotLeft
from tests.http.fakes import CATALOGUE, NOW_MS, Side, decoded

ECHO = {"model": "sandbox/echo"}
MODELS = {entry.slug: model_terms(entry) for entry in CATALOGUE.models}
DAY_MS = window_start_ms("day", NOW_MS)


def spending(terms: AccountTerms, **more: Any) -> Spending:
    plan = Plan(version=3, products={"darkroom": {"default": terms}}, models=MODELS)
    return Spending(plan=plan, **more)


def opened(terms: AccountTerms, available: int, **more: Any) -> Spending:
    return spending(terms, plan_name="default", available=available, **more)


async def estimated(side: Side, body: object, standing: Spending) -> dict[str, Any]:
    side.read_side.spendings[side.account()] = standing
    answer = await side.http.post("/v1/estimate", json=body)
    assert answer.status_code == 200, answer.text
    assert side.decider.envelopes == []
    return decoded(answer)


async def test_a_job_that_can_be_paid_would_be_accepted(side: Side) -> None:
    found = await estimated(side, ECHO, opened(AccountTerms(), 5))
    assert found == {
        "cost": 1,
        "jobs": [{"cost": 1, "problem": None}],
        "balance": 5,
        "quota": [],
        "accepted": True,
        "problem": None,
    }


async def test_what_is_short_is_told_for_all_together(side: Side) -> None:
    found = await estimated(side, {"jobs": [ECHO] * 6}, opened(AccountTerms(), 5))
    assert (found["cost"], found["accepted"], found["balance"]) == (6, False, 5)
    assert [job["cost"] for job in found["jobs"]] == [1] * 6
    problem = found["problem"]
    assert (problem["status"], problem["required"], problem["available"]) == (402, 6, 5)


async def test_an_account_that_is_not_open_shows_its_opening_terms(side: Side) -> None:
    found = await estimated(side, ECHO, spending(AccountTerms(opening_credits=4)))
    assert (found["balance"], found["accepted"]) == (4, True)


async def test_time_gives_and_takes(side: Side) -> None:
    terms = AccountTerms(regeneration=RegenerationTerms(units=1, every_ms=60_000, cap=100))
    lots = [LotLeft("1.2.0.0", 3, NOW_MS - 1), LotLeft("1.3.0.0", 2, NOW_MS + 1)]
    found = await estimated(side, ECHO, opened(terms, 6, since_ms=NOW_MS - 120_000, lots=lots))
    assert found["balance"] == 6 + 2 - 3


async def test_quota_shows_what_remains(side: Side) -> None:
    terms = AccountTerms(uses_balance=False, windows=(WindowTerms("day", 3),))
    standing = opened(terms, 0, windows=[("day", DAY_MS, 2)])
    found = await estimated(side, ECHO, standing)
    assert (found["balance"], found["accepted"]) == (None, True)
    assert [(one["window"], one["used"], one["remaining"]) for one in found["quota"]] == [("day", 2, 1)]
    two = await estimated(side, {"jobs": [ECHO, ECHO]}, standing)
    assert (two["accepted"], two["problem"]["code"]) == (False, "quota-exceeded")
    yesterday = replace(standing, windows=[("day", DAY_MS - 86_400_000, 3)])
    assert (await estimated(side, ECHO, yesterday))["accepted"]


@pytest.mark.parametrize(
    ("body", "terms", "code"),
    [
        ({"model": "no/model"}, AccountTerms(), "model-unknown"),
        (ECHO, AccountTerms(models_denied=("sandbox/echo",)), "not-entitled"),
        ({**ECHO, "params": {"seed": 9}}, AccountTerms(param_limits={"seed": 8}), "not-entitled"),
        ({**ECHO, "params": {"seed": 999}}, AccountTerms(), "invalid-field"),
        ({"model": "classical/upscale", "input": {"asset": "asset_x"}}, AccountTerms(), "asset-unknown"),
        ({"model": "classical/upscale"}, AccountTerms(), "invalid-field"),
        ({}, AccountTerms(), "invalid-field"),
    ],
)
async def test_a_job_that_cannot_be_accepted_says_why(side: Side, body: object, terms: AccountTerms, code: str) -> None:
    found = await estimated(side, body, opened(terms, 100))
    assert (found["cost"], found["accepted"], found["problem"]["code"]) == (0, False, code)
    several = await estimated(side, {"jobs": [ECHO, body]}, opened(AccountTerms(), 100))
    if terms == AccountTerms():
        assert [job["cost"] for job in several["jobs"]] == [1, None]


async def test_waiting_jobs_fill_the_queue_of_their_lane(side: Side) -> None:
    standing = opened(AccountTerms(queued_jobs_max=2), 100, waiting={"standard": 2})
    assert (await estimated(side, ECHO, standing))["problem"]["code"] == "queue-full"
    assert (await estimated(side, {"jobs": [ECHO, ECHO]}, standing))["accepted"]
    assert not (await estimated(side, {"jobs": [ECHO] * 3}, standing))["accepted"]


async def test_it_is_503_while_the_read_models_do_not_say(side: Side) -> None:
    assert (await side.http.post("/v1/estimate", json=ECHO)).status_code == 503
    await side.submit(ECHO)
    side.read_side.is_current = False
    side.read_side.spendings[side.account()] = opened(AccountTerms(), 1)
    answer = await side.http.post("/v1/estimate", json=ECHO)
    assert (answer.status_code, decoded(answer)["code"]) == (503, "behind")


async def test_bodies_that_are_no_json_and_empty_lists_are_400(side: Side) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await side.http.post("/v1/estimate", content=b"{no", headers=headers)).status_code == 400
    assert (await side.http.post("/v1/estimate", json={"jobs": []})).status_code == 400
