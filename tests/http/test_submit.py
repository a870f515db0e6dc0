"""POST /v1/jobs from request to answer: what goes on the log, and what the client is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from infra.kafka.ports import NotAppended, OutcomeUnknown, Overloaded
from infra.postgres.outcomes import JobOutcome
from infra.sealing.content import JOB, SUBJECT, decode_job_secrets
from schemas import refusals as no
from schemas.commands import Envelope, StoredObject, SubmitJob
from schemas.identifiers import partition_of
from schemas.replies import AnyAnswer, Broken, JobDecided, JobEndedAnswer, Refused
from tests.http.fakes import NOW_MS, Side, accepts, decoded

ECHO = {"model": "sandbox/echo", "params": {"seed": 3}}
RESULT = StoredObject("acct/job/1", 2048, "aa", "png", 64, 64)


def ended(envelope: Envelope) -> Sequence[AnyAnswer]:
    command = envelope.command
    assert isinstance(command, SubmitJob)
    end = JobEndedAnswer(command.job, "succeeded", 1, 99, "asset_x", RESULT)
    return [*accepts(envelope), end]


def failed(envelope: Envelope) -> Sequence[AnyAnswer]:
    command = envelope.command
    assert isinstance(command, SubmitJob)
    end = JobEndedAnswer(command.job, "failed", 0, 100, reason="engine-unavailable", detail="no engine answered")
    return [*accepts(envelope), end]


def outcome(status: str) -> JobOutcome:
    done = status == "succeeded"
    return JobOutcome(
        status=status,
        cost=1,
        charged=int(done),
        balance=99,
        asset="asset_x" if done else None,
        result=RESULT if done else None,
        reason=None,
        detail=None,
        position="3.9.0.0",
        accepted_at="3.7.0.0",
    )


async def test_a_decided_job_is_answered_202_with_its_price_balance_and_position(side: Side) -> None:
    answer = await side.submit(ECHO)
    document = decoded(answer)
    partition = partition_of(side.account(), 8)
    assert answer.status_code == 202
    assert list(document) == ["id", "status", "cost", "balance", "position", "model", "result", "error", "links"]
    assert document["status"] == "accepted"
    assert (document["cost"], document["balance"]) == (1, 99)
    assert document["position"] == answer.headers["darkroom-position"] == f"{partition}.0.0.0"
    assert document["links"]["self"] == answer.headers["location"] == f"http://darkroom.test/v1/jobs/{document['id']}"
    assert str(side.positions.of(side.account())) == document["position"]
    assert answer.headers["ratelimit-limit"] == "300000"


async def test_the_envelope_names_the_product_in_clear_and_the_subject_sealed(side: Side) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await side.submit({**ECHO, "metadata": {"order": "Hans Müller"}}, traceparent=trace)
    (envelope,) = side.decider.envelopes
    command = envelope.command
    assert isinstance(command, SubmitJob)
    assert (envelope.product, envelope.plan, envelope.account) == ("darkroom", "default", side.account())
    assert envelope.sent_ms == NOW_MS
    assert command.params == {"seed": 3}
    assert envelope.trace is not None
    assert envelope.trace.startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert "b7ad6b7169203331" not in envelope.trace
    assert envelope.subject is not None
    assert command.sealed is not None
    assert await side.ring.open(envelope.account, envelope.subject, SUBJECT) == b"ada"
    secrets = await side.ring.open(envelope.account, command.sealed, JOB)
    assert secrets is not None
    assert decode_job_secrets(secrets).metadata == {"order": "Hans Müller"}


async def test_defaults_are_filled_in_and_no_metadata_is_not_sealed(side: Side) -> None:
    await side.submit({"model": "sandbox/echo"})
    command = side.decider.envelopes[0].command
    assert isinstance(command, SubmitJob)
    assert command.params == {"seed": 0}
    assert command.sealed is None
    assert command.client_waits_until_ms is None


async def test_a_finished_job_within_the_wait_is_200_with_its_result(side: Side) -> None:
    side.decider.script = ended
    answer = await side.submit(ECHO, Prefer="wait=5")
    document = decoded(answer)
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=5"
    assert document["status"] == "succeeded"
    assert document["result"] == {
        "asset": "asset_x",
        "url": "http://darkroom.test/v1/assets/asset_x",
        "width": 64,
        "height": 64,
        "format": "png",
        "bytes": 2048,
    }
    command = side.decider.envelopes[0].command
    assert isinstance(command, SubmitJob)
    assert command.client_waits_until_ms == NOW_MS + 5000


async def test_a_failed_job_shows_its_problem(side: Side) -> None:
    side.decider.script = failed
    document = decoded(await side.submit(ECHO, Prefer="wait=5"))
    assert document["status"] == "failed"
    assert document["result"] is None
    assert document["error"] == {
        "type": "urn:darkroom:problem:engine-unavailable",
        "title": "Engine unavailable",
        "detail": "no engine answered.",
        "code": "engine-unavailable",
    }


async def test_respond_async_does_not_wait_and_unknown_preferences_are_ignored(side: Side) -> None:
    side.decider.script = ended
    answer = await side.submit(ECHO, Prefer="handling=lenient, respond-async, wait=5")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"


async def test_wait_0_answers_as_soon_as_the_command_is_on_the_log(side: Side) -> None:
    answer = await side.submit(ECHO, Prefer="wait=0")
    document = decoded(answer)
    assert (answer.status_code, document["status"], document["cost"]) == (202, "pending", None)
    assert answer.headers["preference-applied"] == "wait=0"
    (envelope,) = side.decider.envelopes
    assert envelope.reply is None
    assert isinstance(envelope.command, SubmitJob)
    assert document["id"] == envelope.command.job
    assert answer.headers["darkroom-position"] == document["position"]


async def test_a_job_that_ends_too_late_is_202(side: Side) -> None:
    answer = await side.submit(ECHO, Prefer="wait=1")
    assert answer.status_code == 202
    assert decoded(answer)["status"] == "accepted"


async def test_a_lost_end_is_found_in_the_read_model(side: Side) -> None:
    def decided_only(envelope: Envelope) -> Sequence[AnyAnswer]:
        command = envelope.command
        assert isinstance(command, SubmitJob)
        side.read_side.jobs[envelope.account, command.job] = outcome("succeeded")
        return accepts(envelope)

    side.decider.script = decided_only
    answer = await side.submit(ECHO, Prefer="wait=5")
    assert answer.status_code == 200
    assert decoded(answer)["result"]["asset"] == "asset_x"


async def test_a_lost_decision_is_found_in_the_read_model(side: Side) -> None:
    def silent(envelope: Envelope) -> Sequence[AnyAnswer]:
        command = envelope.command
        assert isinstance(command, SubmitJob)
        side.read_side.jobs[envelope.account, command.job] = outcome("running")
        return []

    side.decider.script = silent
    document = decoded(await side.submit(ECHO))
    assert (document["status"], document["cost"], document["position"]) == ("running", 1, "3.9.0.0")


async def test_a_late_decision_is_202_pending_with_the_position_of_the_command(side: Side) -> None:
    side.decider.script = lambda _: []
    answer = await side.submit(ECHO)
    document = decoded(answer)
    assert answer.status_code == 202
    assert (document["status"], document["cost"], document["balance"]) == ("pending", None, None)
    assert document["position"] == answer.headers["darkroom-position"]


async def test_a_repeat_renders_the_job_that_the_reply_names(side: Side) -> None:
    side.decider.script = lambda _: [JobDecided("job_earlier", "accepted", 1, 42)]
    document = decoded(await side.submit(ECHO, Idempotency_Key="k"))
    assert (document["id"], document["balance"]) == ("job_earlier", 42)


async def test_a_repeat_that_waits_asks_the_read_model_at_once(side: Side) -> None:
    side.decider.script = lambda _: [JobDecided("job_earlier", "accepted", 1, 42)]
    side.read_side.jobs[side.account(), "job_earlier"] = outcome("succeeded")
    answer = await side.submit(ECHO, Idempotency_Key="k", Prefer="wait=30")
    assert (answer.status_code, decoded(answer)["id"]) == (200, "job_earlier")


async def test_the_key_counts_within_account_and_operation_and_content_has_no_order(side: Side) -> None:
    await side.submit({"model": "sandbox/echo", "metadata": {"a": 1, "b": 2}}, Idempotency_Key="k")
    await side.submit({"metadata": {"b": 2, "a": 1}, "model": "sandbox/echo"}, Idempotency_Key="k")
    await side.submit({"model": "sandbox/echo", "metadata": {"a": 1, "b": 3}}, Idempotency_Key="k")
    other = {"Authorization": f"Bearer {side.token('bob')}", "Idempotency-Key": "k"}
    await side.http.post("/v1/jobs", json={"model": "sandbox/echo"}, headers=other)
    first, second, third, fourth = (envelope.idempotency for envelope in side.decider.envelopes)
    assert first is not None
    assert third is not None
    assert fourth is not None
    assert first == second
    assert third.key == first.key
    assert third.fingerprint != first.fingerprint
    assert fourth.key != first.key
    assert len(first.key) == 32


async def test_a_request_without_a_key_gets_one_that_repeats_it(side: Side) -> None:
    answer = await side.submit(ECHO)
    key = answer.headers["idempotency-key"]
    again = await side.submit(ECHO, Idempotency_Key=key)
    assert again.headers["idempotency-key"] == key
    assert side.decider.envelopes[0].idempotency == side.decider.envelopes[1].idempotency


@pytest.mark.parametrize(
    ("fault", "code"),
    [(OutcomeUnknown("x"), "outcome-unknown"), (Overloaded("x"), "overloaded"), (NotAppended("x"), "unavailable")],
)
async def test_faults_of_the_log_are_503_with_retry_after(side: Side, fault: Exception, code: str) -> None:
    side.decider.fault = fault
    answer = await side.submit(ECHO, Idempotency_Key="mine")
    problem = decoded(answer)
    assert (answer.status_code, problem["code"]) == (503, code)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["idempotency-key"] == "mine"
    assert problem.get("idempotency_key") == ("mine" if code == "outcome-unknown" else None)


async def test_a_refusal_is_a_problem_with_its_position(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.InsufficientCredits(5, 2))]
    answer = await side.submit(ECHO)
    problem = decoded(answer)
    assert (answer.status_code, problem["code"]) == (402, "insufficient-credits")
    assert (problem["required"], problem["available"]) == (5, 2)
    assert answer.headers["darkroom-position"].endswith(".0.0.0")


async def test_a_broken_command_is_500_and_says_that_nothing_was_charged(side: Side) -> None:
    side.decider.script = lambda _: [Broken("quarantined")]
    answer = await side.submit(ECHO)
    assert answer.status_code == 500
    assert "nothing was charged" in decoded(answer)["detail"]


async def test_a_picture_whose_result_is_too_large_is_refused_before_it_is_charged(side: Side) -> None:
    side.read_side.sizes[side.account(), "asset_big"] = (8000, 8000)
    body = {"model": "classical/upscale", "input": {"asset": "asset_big"}, "params": {"scale": 4}}
    answer = await side.submit(body)
    assert answer.status_code == 400
    assert [error["field"] for error in decoded(answer)["errors"]] == ["params.scale"]
    assert side.decider.envelopes == []
    assert (await side.submit({**body, "params": {"scale": 2}})).status_code == 202


async def test_a_client_that_hangs_up_loses_nothing(side: Side) -> None:
    appended = asyncio.Event()

    def slow(envelope: Envelope) -> Sequence[AnyAnswer]:
        appended.set()
        return []

    side.decider.script = slow
    request = asyncio.create_task(side.submit(ECHO))
    await appended.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert len(side.decider.envelopes) == 1
    assert side.decider.waiters._by_correlation == {}
