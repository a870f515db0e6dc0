"""POST /v1/jobs:batch: an answer for each job, in order; what is wrong stops nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec
import pytest

from infra.kafka.ports import Appended, NotAppended, OutcomeUnknown
from infra.sealing.content import JOB, decode_job_secrets
from ingest.bodies import BATCH_BYTES_MAX, BATCH_JOBS_MAX
from schemas import refusals as no
from schemas.commands import Envelope, StoredObject, SubmitJob
from schemas.replies import AnyAnswer, JobDecided, JobEndedAnswer, Refused
from tests.http.fakes import Side, accepts, decoded

ECHO = {"model": "sandbox/echo"}
RESULT = StoredObject("acct/job/1", 2048, "aa", "png", 64, 64)


def echo(seed: int) -> dict[str, Any]:
    return {"model": "sandbox/echo", "params": {"seed": seed}}


async def post(side: Side, jobs: Sequence[object], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await side.http.post("/v1/jobs:batch", json={"jobs": jobs}, headers=named)


def results(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = decoded(answer)["results"]
    return found


def commands(side: Side) -> list[SubmitJob]:
    found = [envelope.command for envelope in side.decider.envelopes]
    assert all(isinstance(command, SubmitJob) for command in found)
    return [command for command in found if isinstance(command, SubmitJob)]


async def test_each_job_is_answered_in_order_and_goes_as_a_bulk_job(side: Side) -> None:
    answer = await post(side, [echo(seed) for seed in range(7)])
    answers = results(answer)
    sent = commands(side)
    assert [one["status"] for one in answers] == [202] * 7
    assert [one["job"]["id"] for one in answers] == [command.job for command in sent]
    assert [command.params["seed"] for command in sent] == list(range(7))
    assert all(command.bulk for command in sent)
    last = side.decider.envelopes[-1]
    assert answer.headers["darkroom-position"].endswith(".6.0.0")
    assert str(side.positions.of(last.account)) == answer.headers["darkroom-position"]
    assert answers[3]["job"]["links"]["self"] == f"http://darkroom.test/v1/jobs/{sent[3].job}"
    assert (answers[3]["job"]["cost"], answers[3]["job"]["model"]) == (1, "sandbox/echo")


async def test_a_wrong_job_gets_its_own_problem_and_stops_nobody(side: Side) -> None:
    bad: list[object] = [echo(999), {"model": "no/model"}, {}, "text", {"model": "classical/upscale"}]
    bad.append({**ECHO, "metadata": {"x": "y" * 3000}})
    bad.append({"model": "classical/upscale", "input": {"url": "http://a/b.png"}})
    answers = results(await post(side, [echo(1), *bad, echo(2)]))
    fields = [one["problem"]["errors"][0]["field"] for one in answers[1:-1]]
    assert [one["status"] for one in answers] == [202, *[400] * len(bad), 202]
    assert fields == ["params.seed", "model", "model", "body", "input", "metadata", "input.url"]
    assert [command.params["seed"] for command in commands(side)] == [1, 2]


async def test_ndjson_in_and_out(side: Side) -> None:
    body = b"\n".join([msgspec.json.encode(echo(1)), b"{not json", b"", msgspec.json.encode(echo(2))]) + b"\n"
    headers = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
    answer = await side.http.post("/v1/jobs:batch", content=body, headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    assert [line["status"] for line in lines] == [202, 400, 202]
    assert lines[1]["problem"]["code"] == "invalid-json"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{not json", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"jobs": {}}', "application/json", 400),
        (b'{"jobs": []}', "application/json", 400),
        (b'{"jobs": [{}], "more": 1}', "application/json", 400),
        (b'{"jobs": ' + b"[" * 100_000, "application/json", 400),
        (b"", "application/x-ndjson", 400),
        (b"no\njson\nhere", "application/x-ndjson", 400),
        (b"{}", "text/plain", 415),
    ],
)
async def test_what_is_no_batch_at_all_is_one_problem(side: Side, content: bytes, kind: str, status: int) -> None:
    answer = await side.http.post("/v1/jobs:batch", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert side.decider.envelopes == []


async def test_10_000_jobs_pass_and_one_more_is_400(side: Side) -> None:
    assert len(results(await post(side, [ECHO] * BATCH_JOBS_MAX))) == BATCH_JOBS_MAX
    sent = len(side.decider.envelopes)
    assert sent == BATCH_JOBS_MAX
    refused = await post(side, [ECHO] * (BATCH_JOBS_MAX + 1))
    assert (refused.status_code, decoded(refused)["errors"][0]["field"]) == (400, "jobs")
    assert len(side.decider.envelopes) == sent


async def test_16_mib_pass_and_one_byte_more_is_413(side: Side) -> None:
    head, headers = b'{"jobs": [' + msgspec.json.encode(ECHO), {"Content-Type": "application/json"}
    body = head + b" " * (BATCH_BYTES_MAX - len(head) - 2) + b"]}"
    assert len(body) == BATCH_BYTES_MAX
    whole = await side.http.post("/v1/jobs:batch", content=body, headers=headers)
    assert [one["status"] for one in results(whole)] == [202]
    more = await side.http.post("/v1/jobs:batch", content=body + b" ", headers=headers)
    assert (more.status_code, decoded(more)["code"]) == (413, "content-too-large")


async def test_items_have_keys_made_of_the_requests_key_and_their_number(side: Side) -> None:
    jobs = [ECHO, ECHO]
    for key in ("one", "one", "two"):
        await post(side, jobs, Idempotency_Key=key)
    keys = [envelope.idempotency for envelope in side.decider.envelopes]
    assert keys[0:2] == keys[2:4]
    assert len({key.key for key in keys if key is not None}) == 4
    assert len({key.fingerprint for key in keys if key is not None}) == 1
    single = await side.submit(ECHO, Idempotency_Key="one")
    assert single.status_code == 202
    assert side.decider.envelopes[-1].idempotency not in keys


async def test_a_batch_without_a_key_gets_one(side: Side) -> None:
    first = await post(side, [ECHO])
    again = await post(side, [ECHO], Idempotency_Key=first.headers["idempotency-key"])
    assert again.status_code == 200
    one, two = side.decider.envelopes
    assert one.idempotency == two.idempotency


async def test_refusals_stand_at_their_job(side: Side) -> None:
    def short(envelope: Envelope) -> Sequence[AnyAnswer]:
        assert isinstance(envelope.command, SubmitJob)
        if envelope.command.params["seed"] == 1:
            return [Refused(no.InsufficientCredits(1, 0))]
        return accepts(envelope)

    side.decider.script = short
    answers = results(await post(side, [echo(0), echo(1), echo(2)]))
    assert [one["status"] for one in answers] == [202, 402, 202]
    assert (answers[1]["problem"]["code"], answers[1]["problem"]["required"]) == ("insufficient-credits", 1)


async def test_a_decision_that_does_not_come_is_pending(side: Side) -> None:
    side.decider.script = lambda envelope: accepts(envelope) if _seed(envelope) != 1 else []
    answers = results(await post(side, [echo(0), echo(1), echo(2)]))
    assert [one["job"]["status"] for one in answers] == ["accepted", "pending", "accepted"]
    assert answers[1]["status"] == 202
    assert answers[1]["job"]["position"] is not None
    assert answers[1]["job"]["links"]["self"].endswith(commands(side)[1].job)


async def test_metadata_is_sealed_for_its_job(side: Side) -> None:
    await post(side, [{**ECHO, "metadata": {"n": number}} for number in range(3)])
    for number, command in enumerate(commands(side)):
        assert command.sealed is not None
        opened = await side.ring.open(side.account(), command.sealed, JOB)
        assert opened is not None
        assert decode_job_secrets(opened).metadata == {"n": number}


async def test_wait_gives_the_results_of_all(side: Side) -> None:
    def ends(envelope: Envelope) -> Sequence[AnyAnswer]:
        assert isinstance(envelope.command, SubmitJob)
        end = JobEndedAnswer(envelope.command.job, "succeeded", 1, 99, "asset_x", RESULT)
        return [*accepts(envelope), end]

    side.decider.script = ends
    answer = await post(side, [ECHO] * 3, Prefer="wait=5")
    assert [one["status"] for one in results(answer)] == [200] * 3
    assert [one["job"]["result"]["asset"] for one in results(answer)] == ["asset_x"] * 3
    assert answer.headers["preference-applied"] == "wait=5"
    assert all(command.client_waits_until_ms is not None for command in commands(side))


async def test_wait_0_asks_for_no_decision(side: Side) -> None:
    answers = results(await post(side, [ECHO] * 3, Prefer="wait=0"))
    assert [one["job"]["status"] for one in answers] == ["pending"] * 3
    assert all(envelope.reply is None for envelope in side.decider.envelopes)


async def test_a_repeat_shows_the_jobs_of_the_first_time(side: Side) -> None:
    side.decider.script = lambda _: [JobDecided("job_first", "accepted", 1, 9)]
    answers = results(await post(side, [ECHO, ECHO], Idempotency_Key="k"))
    assert [one["job"]["id"] for one in answers] == ["job_first"] * 2


class Failing:
    """Replaces `append_many`: the call number `at` fails."""

    def __init__(self, side: Side, at: int, error: Exception) -> None:
        self._side, self._at, self._error, self._calls = side, at, error, 0
        side.decider.append_many = self.append_many  # type: ignore[method-assign]

    async def append_many(self, partition: int, items: Sequence[bytes]) -> list[Appended]:
        self._calls += 1
        if self._calls == self._at:
            raise self._error
        return [await self._side.decider.append(partition, item) for item in items]


async def test_a_log_that_goes_away_leaves_the_rest_to_the_next_try(side: Side) -> None:
    Failing(side, 2, OutcomeUnknown("x"))
    answer = await post(side, [ECHO] * 2_000, Idempotency_Key="k")
    answers = results(answer)
    statuses = [one["status"] for one in answers]
    assert statuses[:250] == [202] * 250
    assert set(statuses[250:]) == {202, 503}
    assert statuses[-1] == 503
    assert [answers[at]["problem"]["code"] for at in (250, -1)] == ["outcome-unknown", "unavailable"]
    assert answer.headers["idempotency-key"] == "k"


async def test_a_log_that_is_away_from_the_start_is_503(side: Side) -> None:
    side.decider.fault = NotAppended("x")
    answer = await post(side, [ECHO] * 3)
    assert (answer.status_code, decoded(answer)["code"]) == (503, "unavailable")


async def test_a_batch_of_wrong_jobs_appends_nothing(side: Side) -> None:
    answers = results(await post(side, [{}, {}]))
    assert [one["status"] for one in answers] == [400, 400]
    assert side.decider.envelopes == []


def _seed(envelope: Envelope) -> object:
    assert isinstance(envelope.command, SubmitJob)
    params: Mapping[str, object] = envelope.command.params
    return params["seed"]
