"""One key, one job, one charge, one answer: at once, after crashes, and for clients that hang up."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping

from tests.client import Client, ok, problem
from tests.stack import Stack

TIMES = 50


async def test_the_same_key_fifty_times_at_once_and_again_after_killing_everything(stack: Stack, user: Client) -> None:
    key = f"order-{uuid.uuid4()}"
    answers = await asyncio.gather(*(user.submit("sandbox/echo", {"seed": 9}, key=key) for _ in range(TIMES)))
    told = [ok(answer) for answer in answers]
    first = _decision(told[0])
    assert [_decision(body) for body in told] == [first] * TIMES
    await user.until_ended(told[0]["id"])
    assert (await user.account())["balance"] == 19

    await asyncio.to_thread(stack.kill)
    await asyncio.to_thread(stack.start)

    answers = await asyncio.gather(*(user.submit("sandbox/echo", {"seed": 9}, key=key) for _ in range(TIMES)))
    assert [_decision(ok(answer)) for answer in answers] == [first] * TIMES
    assert [row["id"] for row in await user.jobs()] == [told[0]["id"]]
    account = await user.account()
    assert (account["balance"], account["reserved"]) == (19, 0)
    types = [event["type"] for event in await asyncio.to_thread(stack.events, user.name)]
    assert types.count("darkroom.job-accepted.v1") == 1
    assert types.count("darkroom.credits-captured.v1") == 1


async def test_a_repeat_of_a_finished_job_shows_its_result(user: Client) -> None:
    first = ok(await user.submit("sandbox/echo", key="once", prefer="wait=30"))
    again = ok(await user.submit("sandbox/echo", key="once", prefer="wait=30"))
    assert again["id"] == first["id"]
    assert (again["status"], again["result"]["asset"]) == ("succeeded", first["result"]["asset"])
    assert (await user.account())["balance"] == 19


async def test_the_same_key_with_another_body_is_422_and_does_nothing(user: Client) -> None:
    first = ok(await user.submit("sandbox/echo", {"seed": 1}, key="mine", prefer="wait=30"))
    problem(await user.submit("sandbox/echo", {"seed": 2}, key="mine"), 422, "Idempotency-Key")
    assert [row["id"] for row in await user.jobs()] == [first["id"]]
    assert (await user.account())["balance"] == 19


async def test_keys_of_two_users_have_nothing_to_do_with_each_other(user: Client, stranger: Client) -> None:
    await stranger.grant(1)
    one = ok(await user.submit("sandbox/echo", key="shared"))
    other = ok(await stranger.submit("sandbox/echo", key="shared"))
    assert one["id"] != other["id"]


async def test_an_upload_with_a_key_is_one_asset(user: Client) -> None:
    answers = await asyncio.gather(*(user.upload(key="picture") for _ in range(8)))
    assert len({ok(answer)["id"] for answer in answers}) == 1
    other = await user.upload(b"\xff\xd8\xff no picture at all", key="picture")
    assert 400 <= other.status_code < 500


async def test_a_request_without_a_key_gets_one_from_the_server(user: Client) -> None:
    answer = await user.submit("sandbox/echo", prefer="wait=30")
    key = answer.headers["idempotency-key"]
    again = ok(await user.submit("sandbox/echo", key=key))
    assert again["id"] == ok(answer)["id"]


async def test_a_client_that_hangs_up_while_it_waits_loses_nothing(user: Client) -> None:
    body = {"model": "sandbox/slow", "params": {"seconds": 2}}
    await _send_and_hang_up(user, body, key="gone", after_s=0.6)
    job = ok(await user.submit("sandbox/slow", {"seconds": 2}, key="gone", prefer="wait=30"))
    assert job["status"] == "succeeded"
    assert [row["id"] for row in await user.jobs()] == [job["id"]]
    assert (await user.account())["balance"] == 19


async def test_clients_that_hang_up_at_once_are_charged_at_most_once(user: Client) -> None:
    body = {"model": "sandbox/echo"}
    await asyncio.gather(*(_send_and_hang_up(user, body, key="gone", after_s=n * 0.002) for n in range(20)))
    job = ok(await user.submit("sandbox/echo", key="gone", prefer="wait=30"))
    assert [row["id"] for row in await user.jobs()] == [job["id"]]
    assert (await user.account())["balance"] == 19


async def test_an_upload_that_is_cut_off_leaves_no_asset(user: Client) -> None:
    token = user.http.headers["authorization"]
    head = (
        f"POST /v1/assets HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
        "Content-Type: multipart/form-data; boundary=cut\r\nContent-Length: 100000\r\n\r\n"
        '--cut\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    )
    await _write_and_close(user.stack.port, head.encode() + b"\xff\xd8\xff" + bytes(5000), after_s=0.2)
    types = [event["type"] for event in await asyncio.to_thread(user.stack.events, user.name)]
    assert "darkroom.asset-registered.v1" not in types
    assert ok(await user.upload())["id"]


def _decision(body: dict[str, object]) -> dict[str, object]:
    """What the decision said; `status` goes on with the job."""
    return {name: body[name] for name in ("id", "cost", "balance", "position")}


async def _send_and_hang_up(user: Client, body: Mapping[str, object], *, key: str, after_s: float) -> None:
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: {user.http.headers['authorization']}\r\n"
        f"Idempotency-Key: {key}\r\nPrefer: wait=30\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    await _write_and_close(user.stack.port, head.encode() + content, after_s=after_s)


async def _write_and_close(port: int, content: bytes, *, after_s: float) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    await writer.drain()
    await asyncio.sleep(after_s)
    writer.close()
    await writer.wait_closed()
