"""POST /api/ai/images over ports in memory: one command for n pictures, and every answer in the contract's shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.ports import NotAppended, OutcomeUnknown
from infra.postgres.outcomes import JobOutcome
from infra.sealing.content import JOB, decode_job_secrets
from schemas import refusals as no
from schemas.commands import Envelope, SubmitJob
from schemas.identifiers import account_id
from schemas.replies import AnyAnswer, Broken, GroupDecided, JobDecided, JobEndedAnswer, Refused
from tests.http.fakes import IDENTIFIER_KEY, NOW_MS, Side
from tests.http.images_side import (
    BALANCE,
    COST,
    OTHER,
    RESULT,
    WORKSPACE,
    data,
    decides,
    error,
    fails,
    first_fails,
    group_of,
    jobs_of,
    make_images,
    post,
    succeeds,
    token,
)


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[Side]:
    """A user of the workspace, whose pictures all succeed."""
    side = make_images(tmp_path)
    async with side.http:
        yield side


async def test_n_images_are_one_command_of_the_workspaces_account(images: Side) -> None:
    body = {"n": 3, "style": "artistic", "quality": "hd", "size": "1792x1024"}
    data(await post(images, body))
    (envelope,) = images.decider.envelopes
    command = group_of(envelope)
    assert envelope.account == account_id(IDENTIFIER_KEY, "workspace-images", WORKSPACE)
    assert envelope.actor == account_id(IDENTIFIER_KEY, "workspace-images", "ada")
    assert command.client_waits_until_ms == NOW_MS + 30_000
    assert not command.bulk
    for job in command.jobs:
        params = dict(job.params)
        seed = params.pop("seed")
        assert job.model == "dall-e-3-hd"
        assert params == {"size": "1792x1024", "style": "artistic", "provider_style": "vivid", "quality": "hd"}
        assert isinstance(seed, int)
        opened = await images.ring.open(envelope.account, job.sealed or "", JOB)
        assert opened is not None
        assert decode_job_secrets(opened).texts == {"prompt": "a lighthouse"}
    assert len({job.params["seed"] for job in command.jobs}) == 3


async def test_seeds_belong_to_the_key(images: Side) -> None:
    for key in ("one", "one", "two"):
        await post(images, {"n": 2}, Idempotency_Key=key)
    await post(images, {"n": 2})
    await post(images, {"n": 2})
    seeds = [tuple(job.params["seed"] for job in jobs_of(one)) for one in images.decider.envelopes]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 4


async def test_the_same_key_of_another_user_is_another_key(images: Side) -> None:
    await post(images, Idempotency_Key="one")
    await post(images, Idempotency_Key="one", Authorization=f"Bearer {token(images, 'bob')}")
    one, two = images.decider.envelopes
    assert one.account == two.account
    assert one.idempotency is not None
    assert two.idempotency is not None
    assert one.idempotency.key != two.idempotency.key


async def test_one_image_and_two_under_a_key_are_told_apart(images: Side) -> None:
    await post(images, Idempotency_Key="one")
    await post(images, {"n": 2}, Idempotency_Key="one")
    one, two = (envelope.idempotency for envelope in images.decider.envelopes)
    assert one is not None
    assert two is not None
    assert one.key == two.key
    assert one.fingerprint != two.fingerprint


async def test_the_answer_shows_records_images_and_credits(images: Side) -> None:
    told = data(await post(images, {"n": 2}))
    assert (told["creditsUsed"], told["creditsRemaining"]) == (2 * COST, BALANCE)
    assert "errors" not in told
    for number, record in enumerate(told["generations"]):
        assert (record["type"], record["status"], record["tokens"]) == ("IMAGE", "COMPLETED", 0)
        assert (record["model"], record["provider"], record["prompt"]) == ("dall-e-3", "openai", "a lighthouse")
        assert (record["credits"], record["error"], record["workspaceId"]) == (COST, None, WORKSPACE)
        assert record["createdAt"] == "2027-01-15T07:59:59.995Z"
        assert record["completedAt"] == f"2027-01-15T08:00:00.00{number}Z"
        assert told["images"][number] == {"url": record["result"], "generationId": record["id"]}
        assert record["result"].startswith("http://darkroom.test/v1/media/acct_")
    assert len({record["id"] for record in told["generations"]}) == 2


async def test_a_users_id_is_stable_and_is_no_others(images: Side) -> None:
    ids = []
    for subject in ("ada", "ada", "bob"):
        told = data(await post(images, Authorization=f"Bearer {token(images, subject)}"))
        ids.append(told["generations"][0]["userId"])
    assert ids[0] == ids[1] != ids[2]


async def test_some_fail_and_only_the_others_are_charged(images: Side) -> None:
    images.decider.script = decides(first_fails)
    told = data(await post(images, {"n": 3}))
    failed, *others = told["generations"]
    assert (failed["status"], failed["result"], failed["credits"]) == ("FAILED", None, 0)
    assert failed["error"] == "The image could not be generated; nothing was charged."
    assert [record["status"] for record in others] == ["COMPLETED", "COMPLETED"]
    assert [image["generationId"] for image in told["images"]] == [record["id"] for record in others]
    assert told["errors"] == [{"generationId": failed["id"], "code": "INTERNAL_ERROR", "message": failed["error"]}]
    assert told["creditsUsed"] == 2 * COST


async def test_each_failure_says_of_what_kind_it_is(images: Side) -> None:
    def ends(number: int, job: str) -> JobEndedAnswer:
        canceled = JobEndedAnswer(job, "canceled", 0, BALANCE, ended_ms=NOW_MS)
        expired = JobEndedAnswer(job, "expired", 0, BALANCE, reason="queue-deadline", ended_ms=NOW_MS)
        return (canceled, expired, succeeds(number, job))[number]

    images.decider.script = decides(ends)
    told = data(await post(images, {"n": 3}))
    assert [one["status"] for one in told["generations"]] == ["FAILED", "FAILED", "COMPLETED"]
    assert [one["code"] for one in told["errors"]] == ["CANCELED", "TIMEOUT"]
    assert [one["message"] for one in told["errors"]] == [one["error"] for one in told["generations"][:2]]


async def test_what_remains_is_told_by_the_last_booking(images: Side) -> None:
    outcome = {"charged": 0, "asset": None, "result": None, "detail": None, "accepted_at": "0.0.0.0"}

    def script(envelope: Envelope) -> Sequence[AnyAnswer]:
        account, rows = envelope.account, images.read_side.jobs
        for number, job in enumerate(group_of(envelope).jobs):
            at, balance = f"0.{900 - number}.0.0", 100 + number
            more: dict[str, Any] = {"cost": COST, "balance": balance, "position": at, "reason": "model-error"}
            status = "failed" if number else "canceled"
            rows[account, job.job] = JobOutcome(status=status, ended_ms=NOW_MS, **{**outcome, **more})
        first = group_of(envelope).jobs[0].job
        done = {"status": "succeeded", "charged": COST, "asset": "asset_a", "result": RESULT, "reason": None}
        more = {"cost": COST, "balance": 55, "position": "0.950.0.0", "ended_ms": NOW_MS}
        rows[account, first] = JobOutcome(**{**outcome, **done, **more})
        return decides(lambda *_: None)(envelope)

    images.decider.script = script
    told = data(await post(images, {"n": 3}))
    assert (told["creditsUsed"], told["creditsRemaining"]) == (COST, 55)


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("engine-unavailable", 503, "PROVIDER_UNAVAILABLE"),
        ("model-error", 500, "INTERNAL_ERROR"),
        ("crashes-engine", 500, "INTERNAL_ERROR"),
    ],
)
@pytest.mark.parametrize("n", [1, 2])
async def test_when_all_fail_the_answer_is_an_error(images: Side, reason: str, status: int, code: str, n: int) -> None:
    images.decider.script = decides(fails(reason))
    answer = await post(images, {"n": n})
    assert "nothing was charged" in error(answer, status, code)["message"]
    assert ("retry-after" in answer.headers) is (status == 503)


async def test_what_has_not_ended_in_time_is_pending_in_the_same_shape(images: Side) -> None:
    images.decider.script = decides(lambda number, job: succeeds(number, job) if number == 0 else None)
    told = data(await post(images, {"n": 2}, Prefer="wait=1"), 202)
    done, pending = told["generations"]
    assert (done["status"], pending["status"]) == ("COMPLETED", "PENDING")
    assert (pending["result"], pending["credits"], pending["completedAt"]) == (None, 0, None)
    assert [image["generationId"] for image in told["images"]] == [done["id"]]
    assert (told["creditsUsed"], told["creditsRemaining"]) == (COST, BALANCE)


@pytest.mark.parametrize("n", [1, 2])
async def test_a_client_that_does_not_wait_comes_back_with_its_key(images: Side, n: int) -> None:
    images.decider.script = decides(lambda *_: None)
    answer = await post(images, {"n": n}, Prefer="respond-async", Idempotency_Key="one")
    records = data(answer, 202)["generations"]
    assert (answer.headers["preference-applied"], answer.headers["idempotency-key"]) == ("respond-async", "one")
    (first,) = images.decider.envelopes
    assert first.command.client_waits_until_ms is None  # type: ignore[union-attr]
    names = tuple(job.job for job in jobs_of(first))
    decided: AnyAnswer = GroupDecided("group_first", names, (COST,) * n, BALANCE, NOW_MS - 5)
    if n == 1:
        decided = JobDecided(names[0], "accepted", COST, BALANCE, NOW_MS - 5)
    images.decider.script = lambda _: [decided]
    known: dict[str, Any] = {"charged": COST, "asset": "asset_a", "result": RESULT, "reason": None, "detail": None}
    known |= {"position": "0.9.0.0", "accepted_at": "0.8.0.0", "accepted_ms": NOW_MS - 5, "ended_ms": NOW_MS}
    for name in names:
        outcome = JobOutcome(status="succeeded", cost=COST, balance=BALANCE, **known)
        images.read_side.jobs[first.account, name] = outcome
    again = data(await post(images, {"n": n}, Prefer="respond-async", Idempotency_Key="one"))["generations"]
    assert [(one["id"], one["createdAt"]) for one in again] == [(one["id"], one["createdAt"]) for one in records]
    assert {(one["status"], one["credits"]) for one in again} == {("COMPLETED", COST)}


@pytest.mark.parametrize("n", [1, 2])
async def test_without_a_decision_nobody_knows_the_credits(images: Side, n: int) -> None:
    images.decider.script = lambda _: []
    told = data(await post(images, {"n": n}, Prefer="wait=0"), 202)
    assert [record["status"] for record in told["generations"]] == ["PENDING"] * n
    assert (told["creditsUsed"], told["creditsRemaining"]) == (0, None)


@pytest.mark.parametrize(
    ("held", "asked"),
    [(WORKSPACE, OTHER), (None, WORKSPACE), ("home", WORKSPACE), (OTHER, WORKSPACE)],
)
async def test_a_workspace_of_somebody_else_is_one_that_does_not_exist(
    images: Side, held: str | None, asked: str
) -> None:
    bearer = f"Bearer {token(images, workspace=held)}"
    answer = await post(images, X_Workspace_Id=asked, Authorization=bearer)
    assert answer.json() == {
        "error": {"code": "NOT_FOUND", "message": "There is no such workspace.", "details": []},
    }
    assert answer.status_code == 404
    assert images.decider.envelopes == []


async def test_the_body_may_name_the_workspace_in_capitals(images: Side) -> None:
    del images.http.headers["X-Workspace-Id"]
    told = data(await post(images, {"workspaceId": WORKSPACE.upper()}))
    assert told["generations"][0]["workspaceId"] == WORKSPACE


async def test_missing_credits(images: Side) -> None:
    images.decider.script = lambda _: [Refused(no.InsufficientCredits(30, 7))]
    told = error(await post(images, {"n": 3}), 402, "INSUFFICIENT_CREDITS")
    assert (told["required"], told["available"]) == (30, 7)


async def test_a_key_with_another_request_is_a_conflict(images: Side) -> None:
    images.decider.script = lambda _: [Refused(no.IdempotencyMismatch("group_first"))]
    told = error(await post(images, Idempotency_Key="one"), 409, "CONFLICT")
    assert told["details"][0]["field"] == "Idempotency-Key"


async def test_a_full_queue_says_when_to_come_back(images: Side) -> None:
    images.decider.script = lambda _: [Refused(no.QueueFull(100))]
    answer = await post(images)
    error(answer, 429, "RATE_LIMIT_EXCEEDED")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("n", [1, 2])
async def test_a_command_that_broke_is_500(images: Side, n: int) -> None:
    images.decider.script = lambda _: [Broken("x")]
    error(await post(images, {"n": n}), 500, "INTERNAL_ERROR")


async def test_a_single_image_is_a_job_alone_in_the_same_shape(images: Side) -> None:
    one, two = data(await post(images)), data(await post(images, {"n": 2}))
    assert isinstance(images.decider.envelopes[0].command, SubmitJob)
    assert images.decider.envelopes[0].command.client_waits_until_ms == NOW_MS + 30_000
    assert list(one) == list(two)
    assert list(one["generations"][0]) == list(two["generations"][0])
    assert (one["creditsUsed"], one["creditsRemaining"]) == (COST, BALANCE)
    assert one["generations"][0]["createdAt"] == two["generations"][0]["createdAt"] == "2027-01-15T07:59:59.995Z"


@pytest.mark.parametrize("fault", [NotAppended("x"), OutcomeUnknown("x")])
async def test_a_log_that_is_away_is_503_with_the_key(images: Side, fault: Exception) -> None:
    images.decider.fault = fault
    answer = await post(images)
    error(answer, 503, "SERVICE_UNAVAILABLE")
    assert answer.headers["idempotency-key"].startswith("idem_")
    assert int(answer.headers["retry-after"]) > 0
