"""How jobs end otherwise: canceled, failed, late, refused; and what each costs."""

from __future__ import annotations

import time

from tests.client import Client, ok, problem


async def test_respond_async_answers_at_once_and_polling_finds_the_result(user: Client) -> None:
    answer = await user.submit("sandbox/slow", {"seconds": 1}, prefer="respond-async")
    assert answer.status_code == 202
    job = ok(answer)
    assert (job["cost"], job["balance"], job["result"], job["error"]) == (1, 19, None, None)
    assert answer.headers["location"].endswith(f"/v1/jobs/{job['id']}")
    ended = await user.until_ended(job["id"])
    assert ended["status"] == "succeeded"
    assert ended["result"]["width"] == 64


async def test_without_prefer_the_answer_is_the_decision(user: Client) -> None:
    answer = await user.submit("sandbox/slow", {"seconds": 2})
    assert answer.status_code == 202
    assert answer.elapsed.total_seconds() < 2
    await user.until_ended(ok(answer)["id"])


async def test_a_wait_that_ends_before_the_job_answers_202_and_the_job_goes_on(user: Client) -> None:
    started = time.monotonic()
    answer = await user.submit("sandbox/slow", {"seconds": 4}, prefer="wait=1")
    assert answer.status_code == 202
    assert 0.9 < time.monotonic() - started < 3.5
    assert ok(answer)["result"] is None
    assert (await user.until_ended(ok(answer)["id"]))["status"] == "succeeded"
    assert (await user.account())["balance"] == 19


async def test_a_job_that_fails_gives_its_money_back_and_says_why(user: Client) -> None:
    answer = await user.submit("sandbox/broken", prefer="wait=30")
    assert answer.status_code == 200
    job = ok(answer)
    assert (job["status"], job["result"], job["balance"]) == ("failed", None, 20)
    assert job["error"]["detail"]
    account = await user.account()
    assert (account["balance"], account["reserved"]) == (20, 0)
    types = [event["type"] for event in await user.events(job["id"])]
    assert types[-2:] == ["darkroom.job-failed.v1", "darkroom.credits-released.v1"]


async def test_a_transient_failure_is_tried_again_and_charged_once(user: Client) -> None:
    job = ok(await user.submit("sandbox/flaky", {"failures": 2}, prefer="wait=40"))
    assert job["status"] == "succeeded"
    types = [event["type"] for event in await user.events(job["id"])]
    assert types.count("darkroom.attempt-released.v1") == 3
    assert types.count("darkroom.attempt-ended.v1") == 2
    assert types.count("darkroom.credits-captured.v1") == 1
    assert (await user.account())["balance"] == 19


async def test_failures_beyond_the_attempts_end_the_job(user: Client) -> None:
    job = ok(await user.submit("sandbox/flaky", {"failures": 3}, prefer="wait=40"))
    assert (job["status"], job["balance"]) == ("failed", 20)


async def test_a_running_job_can_be_canceled(user: Client) -> None:
    job = ok(await user.submit("sandbox/slow", {"seconds": 5}))
    await user.until_status(job["id"], "running")
    canceled = ok(await user.cancel(job["id"]))
    assert (canceled["status"], canceled["balance"]) == ("canceled", 20)
    account = await user.account()
    assert (account["balance"], account["reserved"]) == (20, 0)
    problem(await user.cancel(job["id"]), 409)
    assert (await user.job(job["id"]))["status"] == "canceled"


async def test_a_waiting_job_can_be_canceled_and_never_runs(user: Client) -> None:
    running = [ok(await user.submit("sandbox/slow", {"seconds": 3}))["id"] for _ in range(8)]
    waiting = ok(await user.submit("sandbox/echo"))["id"]
    assert ok(await user.cancel(waiting))["status"] == "canceled"
    for job in running:
        assert (await user.until_ended(job))["status"] == "succeeded"
    types = [event["type"] for event in await user.events(waiting)]
    assert "darkroom.attempt-released.v1" not in types
    assert (await user.account())["balance"] == 12


async def test_a_finished_job_cannot_be_canceled(user: Client) -> None:
    job = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    problem(await user.cancel(job["id"]), 409)
    assert (await user.job(job["id"]))["status"] == "succeeded"
    assert (await user.account())["balance"] == 19


async def test_without_credits_the_answer_is_402_with_what_is_missing(stranger: Client) -> None:
    refused = problem(await stranger.submit("sandbox/echo"), 402)
    assert (refused["required"], refused["available"]) == (1, 0)
    assert await stranger.jobs() == []


async def test_a_refusal_for_funds_frees_its_key(stranger: Client) -> None:
    problem(await stranger.submit("sandbox/echo", key="again"), 402)
    await stranger.grant(1)
    job = ok(await stranger.submit("sandbox/echo", key="again", prefer="wait=30"))
    assert (job["status"], job["balance"]) == ("succeeded", 0)


async def test_an_unknown_asset_is_named_and_charges_nothing(user: Client) -> None:
    answer = await user.submit("classical/upscale", {"scale": 2}, asset="asset_" + "a" * 26)
    assert answer.status_code in (400, 404)
    problem(answer, answer.status_code, "input.asset")
    assert (await user.account())["balance"] == 20


async def test_users_cannot_see_each_other(user: Client, stranger: Client) -> None:
    asset = ok(await user.upload())
    job = ok(await user.submit("sandbox/echo", prefer="wait=30"))
    unknown = "job_" + "a" * 26
    for path in ("", "/events"):
        foreign = problem(await stranger.http.get(f"/v1/jobs/{job['id']}{path}"), 404)
        missing = problem(await stranger.http.get(f"/v1/jobs/{unknown}{path}"), 404)
        assert foreign["code"] == missing["code"]
    problem(await stranger.cancel(job["id"]), 404)
    for url in (asset["url"], job["result"]["url"]):
        problem(await stranger.http.get(url), 404)
    await stranger.grant(1)
    answer = await stranger.submit("classical/upscale", {"scale": 2}, asset=asset["id"])
    assert answer.status_code in (400, 404)
    assert await stranger.jobs() == []
    assert (await stranger.account())["balance"] == 1
