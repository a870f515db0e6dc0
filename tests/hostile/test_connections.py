"""Connections that drip, stop, flood or lie about their length: others are served, and each comes to an end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

import pytest

from infra.http.protocol import BODY_TIMEOUT_S, HEAD_TIMEOUT_S
from infra.http.routing import Operation
from tests.client import Client
from tests.hostile.entries import OPERATIONS, headers_for, path_of
from tests.hostile.picture_damage import good
from tests.hostile.watch import Watch
from tests.hostile.wire import Told, connected, head, read, sent
from tests.stack import Stack

_HEADS, _BODIES, _UPLOADS = 150, 40, 6
_SLACK_S = 45.0
_WRITES = [row for row in OPERATIONS if row.body is not None]
_JSON = '{"model": "sandbox/echo"}'


async def _dripped_head(stack: Stack) -> Told:
    """A byte of a head now and then, for as long as anybody listens."""
    async with connected(stack) as (reader, writer):
        ending = asyncio.create_task(read(reader, HEAD_TIMEOUT_S + _SLACK_S))
        writer.write(b"POST /v1/jobs HTTP/1.1\r\nHost: h\r\n")
        while not ending.done():
            writer.write(b"X")
            await asyncio.wait([ending], timeout=0.5)
        return ending.result()


async def _stopped_body(stack: Stack, token: str, path: str, kind: str) -> Told:
    """A body of which only the beginning comes."""
    headers = [("Authorization", f"Bearer {token}"), ("Content-Type", kind), ("Content-Length", "100000")]
    async with connected(stack) as (reader, writer):
        writer.write(
            head("POST", path, headers) + b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
        )
        return await read(reader, BODY_TIMEOUT_S + _SLACK_S)


async def _served(stack: Stack, watch: Watch, until: Awaitable[object]) -> int:
    """An honest client meanwhile: how often it was served whole rounds of an upload, a job and a read."""
    rounds, waiting = 0, asyncio.ensure_future(until)
    async with Client(stack) as client:
        await client.grant(1_000)
        while not waiting.done():
            with watch.timed("an honest submit among slow ones"):
                assert (await client.submit()).status_code == 202
            with watch.timed("an honest upload among slow ones"):
                assert (await client.upload(good("jpeg"))).status_code == 201
            rounds += 1
            await asyncio.sleep(0.2)
    await waiting
    return rounds


async def test_slow_heads_and_bodies_are_ended_and_others_are_served(stack: Stack, watch: Watch) -> None:
    tokens = [stack.token(f"slow-{number}") for number in range(3)]
    form = "multipart/form-data; boundary=x"
    heads = [_dripped_head(stack) for _ in range(_HEADS)]
    bodies = [_stopped_body(stack, tokens[0], "/v1/jobs", "application/json") for _ in range(_BODIES)]
    uploads = [_stopped_body(stack, tokens[n % 2], "/v1/assets", form) for n in range(_UPLOADS)]
    slow = asyncio.gather(*heads, *bodies, *uploads)
    assert await _served(stack, watch, slow) > 3
    for told in slow.result():
        assert told.closed, told.content[:200]
        assert told.statuses in ([408], []), told.content[:200]


@pytest.mark.parametrize("operation", _WRITES, ids=lambda row: row.name)
async def test_bodies_that_are_cut_off_do_nothing(stack: Stack, operation: Operation) -> None:
    """Half a body and the end of the connection: nothing is written, nothing charged, nobody is left waiting."""
    headers = headers_for(stack, operation)
    media = operation.body.media if operation.body is not None else ""
    kind = f"{media}; boundary=x" if media.startswith("multipart") else media
    named = [*headers.items(), ("Content-Type", kind), ("Content-Length", "5000")]
    told = await sent(stack, head(operation.method, path_of(operation), named) + _JSON.encode()[:-1], ends=True)
    assert told.closed
    assert not any(200 <= status < 300 for status in told.statuses), told.content[:300]


_LONG = "a" * 20_000
_TOKEN_FREE: list[tuple[str, bytes, tuple[int, ...]]] = [
    ("a long target", head("GET", "/" + _LONG), (414,)),
    ("a long header", head("GET", "/v1/jobs", [("X", _LONG)]), (431,)),
    ("a long name", head("GET", "/v1/jobs", [(_LONG, "x")]), (431,)),
    ("many headers", head("GET", "/v1/jobs", [(f"X-{n}", "x") for n in range(200)]), (431,)),
    ("the same header often", head("GET", "/v1/jobs", [("Cookie", "a=b")] * 200), (431,)),
    ("a long cookie", head("GET", "/v1/jobs", [("Cookie", "; ".join(f"c{n}=x" for n in range(3_000)))]), (431,)),
    ("a head without end", b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 500_000, (431,)),
    ("a method without end", b"G" * 100_000, (400, 405, 414, 431)),
    ("no version", b"GET /\r\n\r\n", (200, 400)),
    ("an old version", b"GET / HTTP/0.9\r\n\r\n", (200, 400, 505)),
    ("another version", b"GET / HTTP/7.7\r\nHost: h\r\n\r\n", (400, 505)),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 404, 405)),
    ("TLS", bytes.fromhex("16030100c8010000c40303") + bytes(190), (400,)),
    ("nothing but newlines", b"\r\n" * 50_000, (400, 408, 431)),
    ("NUL in a value", head("GET", "/v1/jobs", [("X", "a\0b")]), (400, 401)),
    ("NUL in a name", head("GET", "/v1/jobs", [("X\0", "a")]), (400,)),
    ("a name with a space", head("GET", "/v1/jobs", [("X y", "a")]), (400,)),
    ("a folded header", b"GET /v1/jobs HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\nConnection: close\r\n\r\n", (400, 401)),
    ("bare newlines", b"GET /v1/jobs HTTP/1.1\nHost: h\nConnection: close\n\n", (400, 401)),
    ("two lengths", head("POST", "/v1/jobs", [("Content-Length", "3"), ("Content-Length", "4")]) + b"abcd", (400,)),
    ("a negative length", head("POST", "/v1/jobs", [("Content-Length", "-1")]), (400,)),
    ("a huge length", head("POST", "/v1/jobs", [("Content-Length", "9" * 40)]), (400,)),
    ("a length of words", head("POST", "/v1/jobs", [("Content-Length", "ten")]), (400,)),
    ("a length with a plus", head("POST", "/v1/jobs", [("Content-Length", "+3")]) + b"abc", (400,)),
    ("chunks of no size", head("POST", "/v1/jobs", [("Transfer-Encoding", "chunked")]) + b"xyz\r\n", (400, 401)),
    ("chunks too large to count", head("POST", "/v1/jobs", [("Transfer-Encoding", "chunked")]) + b"F" * 40, (400, 401)),
    ("an unknown coding", head("POST", "/v1/jobs", [("Transfer-Encoding", "gzip")]) + b"x", (400, 401, 501)),
    ("CONNECT", head("CONNECT", "127.0.0.1:9092"), (400, 404, 405)),
]  # fmt: skip


@pytest.mark.parametrize(("what", "content", "statuses"), _TOKEN_FREE, ids=[row[0] for row in _TOKEN_FREE])
async def test_heads_that_flood_or_lie_are_refused(
    stack: Stack, watch: Watch, what: str, content: bytes, statuses: tuple[int, ...]
) -> None:
    with watch.timed(what):
        told = await sent(stack, content, ends=what.startswith(("nothing", "a method")))
    assert told.closed, f"{what} is waited for"
    assert told.statuses[:1] == [] or told.statuses[0] in statuses, told.content[:300]
    assert len(told.statuses) <= 1, told.content[:600]


_SMUGGLED = b"GET /v1/account HTTP/1.1\r\nHost: h\r\n\r\n"
_TWO_WAYS = [
    [("Content-Length", str(len(_SMUGGLED) + 5)), ("Transfer-Encoding", "chunked")],
    [("Transfer-Encoding", "chunked"), ("Content-Length", "4")],
    [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")],
    [("Transfer-Encoding", "identity, chunked, identity"), ("Content-Length", "4")],
    [("Transfer-Encoding", "xchunked"), ("Content-Length", "4")],
    [("Transfer-Encoding ", "chunked"), ("Content-Length", "4")],
]


@pytest.mark.parametrize("headers", _TWO_WAYS, ids=range(len(_TWO_WAYS)))
async def test_a_request_in_a_body_is_never_answered(stack: Stack, headers: list[tuple[str, str]]) -> None:
    """Two ideas of where a body ends are how requests are smuggled past a proxy: one answer, and the end."""
    lines = [b"POST /v1/jobs HTTP/1.1", b"Host: h", *(f"{name}: {value}".encode() for name, value in headers)]
    told = await sent(stack, b"\r\n".join([*lines, b"", b"0\r\n\r\n"]) + _SMUGGLED, limit_s=15.0, ends=True)
    assert told.closed
    assert len(told.statuses) <= 1, told.content[:900]


async def test_hosts_that_are_forged_change_no_link(stack: Stack) -> None:
    token = stack.token("host-forger")
    for host in ("evil.example", "evil.example:80", "h\\@evil.example", "h/evil.example", "[::1", "a" * 300, ""):
        named = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"), ("Content-Length", "2")]
        forwarded = [("X-Forwarded-Host", "evil.example"), ("Forwarded", "host=evil.example"), ("X-Original-URL", "/x")]
        told = await sent(stack, head("POST", "/v1/assets:presign", [*named, *forwarded], host=host) + b"{}")
        assert told.closed
        assert b"evil.example" not in told.content
        if told.statuses == [200]:
            document = json.loads(told.content.partition(b"\r\n\r\n")[2])
            assert document["complete"].startswith(stack.url)
