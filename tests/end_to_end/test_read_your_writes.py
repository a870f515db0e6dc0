"""Whoever was told of a write sees it in the next read, of every kind."""

from __future__ import annotations

import pytest

from tests.client import Client, data, ok, problem

ROUNDS = 15


async def test_every_read_right_after_a_submit_knows_the_job(user: Client) -> None:
    for round_ in range(ROUNDS):
        job = ok(await user.submit("sandbox/echo", {"seed": round_}))
        assert job["id"] in [row["id"] for row in await user.jobs()]
        assert (await user.job(job["id"]))["id"] == job["id"]
        assert len(await user.events(job["id"])) >= 2
        account = await user.account()
        assert account["balance"] == 20 - round_ - 1
        assert job["id"] in [line.get("job") for line in await user.ledger()]


async def test_a_cancel_is_seen_at_once(user: Client) -> None:
    for _ in range(ROUNDS):
        job = ok(await user.submit("sandbox/slow", {"seconds": 1}))
        ok(await user.cancel(job["id"]))
        assert (await user.job(job["id"]))["status"] == "canceled"
        assert (await user.account())["balance"] == 20


async def test_an_upload_and_a_grant_are_seen_at_once(user: Client) -> None:
    for round_ in range(5):
        asset = ok(await user.upload())
        assert (await user.http.get(asset["url"])).status_code == 200
        assert await user.grant(1) == 21 + round_
        assert (await user.account())["balance"] == 21 + round_


async def test_answers_carry_a_position_that_reads_can_wait_for(user: Client, stranger: Client) -> None:
    answer = await user.submit("sandbox/echo")
    position = answer.headers["darkroom-position"]
    assert position == ok(answer)["position"]
    account = await user.http.get("/v1/account", headers={"Darkroom-Position": position})
    assert ok(account)["balance"] == 19
    partition = int(position.split(".")[0])
    for bad in ("soon", "1.2", f"{partition}.-1.0.0", f"{partition}.99999999.0.0", "4711.0.0.0"):
        problem(await user.http.get("/v1/account", headers={"Darkroom-Position": bad}), 400, "Darkroom-Position")


async def test_an_account_that_has_never_written_shows_its_opening_terms(stranger: Client) -> None:
    account = await stranger.account()
    assert (account["balance"], account["reserved"]) == (0, 0)
    assert await stranger.jobs() == []
    assert await stranger.ledger() == []


@pytest.mark.parametrize("prefer", ["wait=30", "respond-async"])
async def test_every_answer_of_a_submit_names_its_decision(user: Client, prefer: str) -> None:
    job = ok(await user.submit("sandbox/echo", prefer=prefer))
    assert {"id", "status", "cost", "balance", "position", "result", "error"} <= job.keys()
    events = data(await user.http.get(f"/v1/jobs/{job['id']}/events"))
    assert job["position"] in [event["id"] for event in events]
