"""POST /v1/jobs:batch with atomic=true: one command, one decision; sealed parts of large groups stand beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pytest

from infra.kafka.ports import NotAppended, OutcomeUnknown
from infra.sealing.content import JOB, decode_job_secrets
from ingest.groups import INLINE_JOBS_MAX
from schemas import refusals as no
from schemas.commands import GROUPED_JOB_BYTES_MAX, JOBS_A_GROUP_MAX, Envelope, StoredObject, SubmitGroup
from schemas.replies import AnyAnswer, GroupDecided, JobEndedAnswer, Refused
from tests.http.fakes import Side, decoded, stored_keys
from tests.http.test_submit import outcome

ECHO = {"model": "sandbox/echo"}
RESULT = StoredObject("acct/job/1", 2048, "aa", "png", 64, 64)


def group_of(envelope: Envelope) -> SubmitGroup:
    assert isinstance(envelope.command, SubmitGroup)
    return envelope.command


def accepted(envelope: Envelope) -> Sequence[AnyAnswer]:
    command = group_of(envelope)
    names = tuple(job.job for job in command.jobs)
    return [GroupDecided(command.group, names, (2,) * len(names), 50)]


def ended(envelope: Envelope) -> Sequence[AnyAnswer]:
    first, *others = [job.job for job in group_of(envelope).jobs]
    ends = [JobEndedAnswer(name, "succeeded", 2, 50, "asset_x", RESULT) for name in others]
    failed = JobEndedAnswer(first, "failed", 0, 52, reason="broken", detail="it is")
    return [*accepted(envelope), *ends, failed]


@pytest.fixture
def grouping(side: Side) -> Side:
    side.decider.script = accepted
    return side


async def post(side: Side, jobs: Sequence[object], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await side.http.post("/v1/jobs:batch?atomic=true", json={"jobs": jobs}, headers=named)


async def test_a_group_is_one_command_and_one_answer(grouping: Side) -> None:
    answer = await post(grouping, [{"model": "sandbox/echo", "params": {"seed": seed}} for seed in range(3)])
    document = decoded(answer)
    (envelope,) = grouping.decider.envelopes
    command = group_of(envelope)
    assert answer.status_code == 202
    assert (document["group"], document["cost"], document["balance"]) == (command.group, 6, 50)
    assert document["position"] == answer.headers["darkroom-position"]
    assert [one["job"]["id"] for one in document["results"]] == [job.job for job in command.jobs]
    assert [job.params["seed"] for job in command.jobs] == [0, 1, 2]
    assert command.bulk
    assert stored_keys(grouping.objects) == []


async def test_small_groups_carry_what_is_sealed(grouping: Side) -> None:
    await post(grouping, [{**ECHO, "metadata": {"n": n}} for n in range(INLINE_JOBS_MAX)])
    for number, job in enumerate(group_of(grouping.decider.envelopes[0]).jobs):
        assert job.sealed is not None
        opened = await grouping.ring.open(grouping.account(), job.sealed, JOB)
        assert opened is not None
        assert decode_job_secrets(opened).metadata == {"n": number}
    assert stored_keys(grouping.objects) == []


async def test_large_groups_keep_sealed_parts_in_one_object(grouping: Side) -> None:
    await post(grouping, [{**ECHO, "metadata": {"n": n}} if n % 2 else ECHO for n in range(JOBS_A_GROUP_MAX)])
    command = group_of(grouping.decider.envelopes[0])
    key = f"{grouping.account()}/{command.group}/sealed"
    assert stored_keys(grouping.objects) == [key]
    text = (await grouping.objects.get(key)).decode()
    for number, job in enumerate(command.jobs):
        if number % 2 == 0:
            assert (job.sealed, job.sealed_at) == (None, None)
            continue
        assert job.sealed_at is not None
        part = text[job.sealed_at.start : job.sealed_at.start + job.sealed_at.bytes]
        opened = await grouping.ring.open(grouping.account(), part, JOB)
        assert opened is not None
        assert decode_job_secrets(opened).metadata == {"n": number}


async def test_more_than_1000_jobs_are_400(grouping: Side) -> None:
    answer = await post(grouping, [ECHO] * (JOBS_A_GROUP_MAX + 1))
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, "jobs")
    assert grouping.decider.envelopes == []


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ({"model": "sandbox/echo", "params": {"seed": 999}}, "jobs[1].params.seed"),
        ({"model": "classical/upscale"}, "jobs[1].input"),
        ({}, "jobs[1].model"),
    ],
)
async def test_one_wrong_job_refuses_all_and_is_named(grouping: Side, job: dict[str, Any], field: str) -> None:
    answer = await post(grouping, [ECHO, job, ECHO])
    assert (answer.status_code, decoded(answer)["errors"][0]["field"]) == (400, field)
    assert grouping.decider.envelopes == []


def named(length: int) -> dict[str, Any]:
    """A job whose command grows with the name of its asset."""
    return {"model": "classical/inpaint", "input": {"asset": "a" * length, "mask": "m" * 64}}


async def test_a_job_of_400_bytes_passes_and_one_byte_more_is_named(
    grouping: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(grouping, [*[ECHO] * 10, {**named(10), "metadata": {"n": 1}}])
    (envelope,) = grouping.decider.envelopes
    size = len(msgspec.json.encode(group_of(envelope).jobs[-1]))
    assert size < GROUPED_JOB_BYTES_MAX
    monkeypatch.setattr("ingest.groups.GROUPED_JOB_BYTES_MAX", size)
    assert (await post(grouping, [*[ECHO] * 10, {**named(10), "metadata": {"n": 1}}])).status_code == 202
    refused = await post(grouping, [*[ECHO] * 10, {**named(11), "metadata": {"n": 1}}])
    assert (refused.status_code, decoded(refused)["errors"][0]["field"]) == (400, "jobs[10]")
    assert len(grouping.decider.envelopes) == 2


async def test_a_refused_group_is_one_problem_and_leaves_no_object(grouping: Side) -> None:
    grouping.decider.script = lambda _: [Refused(no.InsufficientCredits(20, 3))]
    answer = await post(grouping, [{**ECHO, "metadata": {"n": 1}}] * 20)
    assert (answer.status_code, decoded(answer)["required"]) == (402, 20)
    assert "darkroom-position" in answer.headers
    grouping.decider.fault = NotAppended("x")
    assert (await post(grouping, [{**ECHO, "metadata": {"n": 1}}] * 20)).status_code == 503
    assert stored_keys(grouping.objects) == []


async def test_sealed_parts_of_a_group_whose_fate_is_unknown_stay(grouping: Side) -> None:
    grouping.decider.fault = OutcomeUnknown("x")
    assert (await post(grouping, [{**ECHO, "metadata": {"n": 1}}] * 20)).status_code == 503
    assert len(stored_keys(grouping.objects)) == 1


async def test_a_repeat_shows_the_first_group_and_drops_its_own_parts(grouping: Side) -> None:
    names = tuple(f"job_{number}" for number in range(20))
    grouping.decider.script = lambda _: [GroupDecided("group_first", names, (1,) * 20, 7)]
    document = decoded(await post(grouping, [{**ECHO, "metadata": {"n": 1}}] * 20, Idempotency_Key="k"))
    assert document["group"] == "group_first"
    assert [one["job"]["id"] for one in document["results"]] == list(names)
    assert stored_keys(grouping.objects) == []


async def test_a_group_waits_for_the_ends_of_all(grouping: Side) -> None:
    grouping.decider.script = ended
    answer = await post(grouping, [ECHO] * 3, Prefer="wait=5")
    statuses = [one["job"]["status"] for one in decoded(answer)["results"]]
    assert answer.status_code == 200
    assert statuses == ["failed", "succeeded", "succeeded"]
    assert decoded(answer)["results"][0]["job"]["error"]["code"] == "broken"


async def test_a_late_decision_is_pending(grouping: Side) -> None:
    grouping.decider.script = lambda _: []
    answer = await post(grouping, [ECHO] * 2)
    document = decoded(answer)
    assert (answer.status_code, document["cost"], document["balance"]) == (202, None, None)
    assert [one["job"]["status"] for one in document["results"]] == ["pending"] * 2


async def test_a_lost_decision_is_found_in_the_read_model(grouping: Side) -> None:
    def silent(envelope: Envelope) -> Sequence[AnyAnswer]:
        for job in group_of(envelope).jobs:
            grouping.read_side.jobs[envelope.account, job.job] = outcome("running")
        return []

    grouping.decider.script = silent
    document = decoded(await post(grouping, [ECHO] * 2))
    assert document["cost"] == 2
    assert [one["job"]["status"] for one in document["results"]] == ["running"] * 2


async def test_wait_0_is_answered_once_the_group_is_on_the_log(grouping: Side) -> None:
    document = decoded(await post(grouping, [ECHO] * 2, Prefer="wait=0"))
    assert [one["job"]["status"] for one in document["results"]] == ["pending"] * 2
    assert grouping.decider.envelopes[0].reply is None
