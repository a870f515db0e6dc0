"""Grants that expire, refunds and changes of plan, from request to command and answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from schemas import refusals as no
from schemas.commands import GrantCredits, RefundJob, SetPlan
from schemas.identifiers import account_id
from schemas.replies import BalanceChanged, Refused
from tests.http.fakes import IDENTIFIER_KEY, Side, decoded
from tests.http.test_writes import an_outcome

BOB = account_id(IDENTIFIER_KEY, "spike-land", "bob")


@pytest.fixture
def operator(side: Side) -> Side:
    side.http.headers["Authorization"] = f"Bearer {side.token('root', role='admin')}"
    side.decider.script = lambda _: [BalanceChanged(7)]
    return side


async def post(side: Side, path: str, body: object, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await side.http.post(path, json=body, headers=named)


async def test_a_grant_may_expire_and_have_a_priority(operator: Side) -> None:
    body = {"amount": 5, "expires_at": "2027-06-01T12:00:00.250+02:00", "priority": -3}
    answer = await post(operator, "/v1/accounts/spike-land:bob:grant", body)
    assert (answer.status_code, decoded(answer)["balance"]) == (200, 7)
    assert operator.decider.envelopes[0].command == GrantCredits(5, "grant", 1_811_844_000_250, -3)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": 5, "expires_at": "tomorrow"}, "expires_at"),
        ({"amount": 5, "expires_at": "2027-06-01T12:00:00"}, "expires_at"),
        ({"amount": 5, "expires_at": 7}, "expires_at"),
        ({"amount": 5, "priority": 1001}, "priority"),
        ({"amount": 5, "priority": "high"}, "priority"),
        ({"amount": 0}, "amount"),
    ],
)
async def test_bad_grants_name_their_field(operator: Side, body: dict[str, Any], field: str) -> None:
    answer = await post(operator, "/v1/accounts/spike-land:bob:grant", body)
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, field)
    assert operator.decider.envelopes == []


async def test_a_refund_names_its_account_in_either_form(operator: Side) -> None:
    operator.read_side.jobs[BOB, "job_1"] = an_outcome("succeeded")
    operator.read_side.products[BOB] = "spike-land"
    for name in ("spike-land:bob", BOB, None):
        body = {"reason": "wrong picture", **({"account": name} if name else {})}
        answer = await post(operator, "/v1/jobs/job_1:refund", body, Idempotency_Key="k")
        assert answer.status_code == 200, answer.text
        document = decoded(answer)
        assert (document["job"], document["account"], document["balance"]) == ("job_1", BOB, 7)
    one, two, three = operator.decider.envelopes
    assert one.command == two.command == three.command == RefundJob("job_1", "wrong picture")
    assert one.idempotency == two.idempotency == three.idempotency
    assert {envelope.product for envelope in operator.decider.envelopes} == {"spike-land"}
    assert {envelope.actor for envelope in operator.decider.envelopes} == {"operator"}
    assert one.subject is not None
    assert two.subject is None


async def test_a_refund_of_a_job_that_nobody_has_is_404(operator: Side) -> None:
    for body in ({"reason": "x"}, {"reason": "x", "account": BOB}):
        answer = await post(operator, "/v1/jobs/job_none:refund", body)
        assert (answer.status_code, decoded(answer)["code"]) == (404, "job-unknown")
    assert operator.decider.envelopes == []


async def test_refusals_of_a_refund_are_problems(operator: Side) -> None:
    operator.decider.script = lambda _: [Refused(no.AlreadyRefunded("job_1"))]
    answer = await post(operator, "/v1/jobs/job_1:refund", {"account": "spike-land:bob", "reason": "x"})
    assert (answer.status_code, decoded(answer)["code"]) == (409, "already-refunded")
    operator.decider.script = lambda _: [Refused(no.ChargeUnknown("job_1"))]
    answer = await post(operator, "/v1/jobs/job_1:refund", {"account": "spike-land:bob", "reason": "x"})
    assert (answer.status_code, decoded(answer)["code"]) == (404, "charge-unknown")


async def test_a_plan_is_set_by_name(operator: Side) -> None:
    answer = await post(operator, "/v1/accounts/ai-image:bob:plan", {"plan": "premium"})
    assert answer.status_code == 200
    assert (decoded(answer)["account"], decoded(answer)["plan"]) == ("ai-image:bob", "premium")
    assert operator.decider.envelopes[0].command == SetPlan("premium")
    operator.decider.script = lambda _: [Refused(no.PlanUnknown("gold"))]
    answer = await post(operator, "/v1/accounts/ai-image:bob:plan", {"plan": "gold"})
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, "plan")


async def test_only_operators_may(side: Side) -> None:
    for path in ("/v1/jobs/job_1:refund", "/v1/accounts/ai-image:bob:plan", "/v1/accounts/ai-image:bob:grant"):
        assert (await post(side, path, {})).status_code == 403


@pytest.mark.parametrize("name", ["bob", "spike-land:", ":bob", "foo:bob"])
async def test_an_account_that_cannot_be_is_named_by_its_field(operator: Side, name: str) -> None:
    answer = await post(operator, f"/v1/accounts/{name}:grant", {"amount": 5})
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, "account")
    assert operator.decider.envelopes == []
