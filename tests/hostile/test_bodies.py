"""JSON and forms of every bad sort, at every operation: a refusal in the contract's shape, and nothing charged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from infra.http.routing import JSON, Operation
from tests.hostile.entries import OPERATIONS, asked, check_answer, client_of, headers_for, path_of
from tests.hostile.watch import Watch
from tests.stack import Stack

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_DEEP = 100_000
_HUGE_BYTES = 17 << 20

NO_JSON: Mapping[str, bytes] = {
    "cut": b'{"model": "sandbox/echo"',
    "two": b"{}{}",
    "comment": b"{/* */}",
    "quotes": b"{'model': 'sandbox/echo'}",
    "comma": b'{"model": "x",}',
    "nan": b'{"model": NaN, "amount": NaN}',
    "infinity": b'{"model": Infinity, "amount": -Infinity}',
    "hexadecimal": b'{"amount": 0x10}',
    "leading zero": b'{"amount": 010}',
    "deep lists": b"[" * _DEEP + b"]" * _DEEP,
    "deep objects": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    "deep and cut": b'{"metadata":' + b"[" * _DEEP,
    "no utf-8": b'{"model": "\xff\xfe"}',
    "overlong": b'{"model": "\xc0\xaf"}',
    "surrogate": b'{"model": "\xed\xa0\x80"}',
    "utf-16": '{"model": "sandbox/echo"}'.encode("utf-16"),
    "utf-32": '{"model": "sandbox/echo"}'.encode("utf-32"),
    "bom": b'\xef\xbb\xbf{"model": "sandbox/echo"}',
    "nul": b"\0",
    "nul in front": b'\0{"model": "sandbox/echo"}',
    "control": b'{"model": "a\nb\x01"}',
    "escape": b'{"model": "\\x41"}',
    "half surrogate": b'{"model": "\\ud800"}',
    "yaml": b"model: !!python/object/apply:os.system [id]",
    "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "pickle": b"\x80\x04\x95\x1d"
    + bytes(7)
    + b"\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
}
NO_OBJECT: Mapping[str, bytes] = {
    "null": b"null",
    "true": b"true",
    "number": b"1e9999",
    "integer": b"1" * 5_000,
    "text": b'"' + b"x" * 70_000 + b'"',
    "list": b"[]",
    "list of lists": b"[" + b"[]," * 50_000 + b"[]]",
}
ODD: Mapping[str, bytes] = {
    "nothing": b"",
    "empty": b"{}",
    "twice": b'{"model": "sandbox/echo", "model": "sandbox/echo", "amount": 1, "amount": 1000000}',
    "many members": json.dumps({f"k{number}": number for number in range(20_000)}).encode(),
    "long name": json.dumps({"k" * 100_000: 1}).encode(),
    "prototype": b'{"__proto__": {"role": "admin"}, "constructor": {"prototype": {}}}',
    "operators": b'{"model": {"$ne": null}, "imageId": {"$gt": ""}, "username": {"$ne": 1}, "password": {"$ne": 1}}',
}
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1 << 31,
    1 << 63,
    1 << 64,
    10**400,
    -(10**30),
    1.5,
    1e300,
    -0.0,
    "",
    " ",
    "\0",
    "\u202e",
    "\ufeff",
    "a" * 70_000,
    "../../etc/passwd",
    "'; DROP TABLE jobs; --",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}",
    "%s%n",
    "\r\nX-Injected: 1",
    [],
    {},
    [None],
    [[[[[]]]]],
    {"a": {"a": {"a": {}}}},
    ["x"] * 2_000,
)


def bodies_for(operation: Operation) -> Iterator[tuple[str, bytes]]:
    """Bodies that are JSON of the operation's shape but for one member."""
    example = operation.body.example if operation.body is not None else None
    names = [*_members(operation), *(example if isinstance(example, dict) else {})]
    whole = dict(example) if isinstance(example, dict) else {}
    for name in dict.fromkeys(names):
        for number, value in enumerate(VALUES):
            yield f"{name}={number}", json.dumps({**whole, name: value}).encode()


def _members(operation: Operation) -> list[str]:
    body = operation.body
    if body is None:
        return []
    if body.model is not None and issubclass(body.model, BaseModel):
        return [field.alias or name for name, field in body.model.model_fields.items()]
    properties = (body.schema or {}).get("properties", {})
    return list(properties) if isinstance(properties, dict) else []


TAKES_JSON = [row for row in OPERATIONS if row.body is not None and row.body.media == JSON]
TAKES_FORMS = [row for row in OPERATIONS if row.body is not None and row.body.media != JSON]


async def _send_all(
    client: httpx.AsyncClient, watch: Watch, operation: Operation, bodies: Iterator[tuple[str, bytes]], kind: str
) -> list[tuple[str, httpx.Response]]:
    """Each answer under the name of its body, checked for its shape."""
    answers = []
    for name, content in bodies:
        with watch.timed(f"{operation.name}: {name}"):
            headers = {"Content-Type": kind} if kind else {}
            answer = await asked(client, operation.method, path_of(operation), content=content, headers=headers)
        check_answer(operation, answer)
        answers.append((name, answer))
    return answers


async def _charges(client: httpx.AsyncClient) -> int:
    """Lines of the caller's ledger that take something."""
    answer = await asked(client, "GET", "/v1/ledger", params={"limit": "1000"})
    if answer.status_code == 404:
        return 0  # the account was never opened
    assert answer.status_code == 200, answer.text
    return sum(line["kind"] in ("reserved", "captured") for line in answer.json()["data"])


def _is_refused(operation: Operation, answer: httpx.Response) -> bool:
    """An estimate tells what is wrong with a job in the job's place."""
    if operation.name == "estimate" and answer.is_success:
        return answer.json()["accepted"] is False
    return 400 <= answer.status_code < 500


@pytest.mark.parametrize("operation", TAKES_JSON, ids=lambda row: row.name)
async def test_what_is_no_json_is_refused(stack: Stack, watch: Watch, operation: Operation) -> None:
    bad = {**NO_JSON, **NO_OBJECT}
    async with client_of(stack, headers_for(stack, operation)) as client:
        for name, answer in await _send_all(client, watch, operation, iter(bad.items()), JSON):
            assert _is_refused(operation, answer), f"{name}: {answer.status_code} {answer.text[:300]}"
        await _send_all(client, watch, operation, iter(ODD.items()), JSON)
        for kind in (
            "text/plain",
            "application/xml",
            "application/jsonp",
            "application/json; charset=utf-7",
            "x" * 5_000,
        ):
            await _send_all(client, watch, operation, iter([(kind[:30], b'{"model": "sandbox/echo"}')]), kind)
        assert await _charges(client) == 0


@pytest.mark.parametrize("operation", TAKES_JSON, ids=lambda row: row.name)
async def test_members_of_every_wrong_type_cost_only_what_is_accepted(
    stack: Stack, watch: Watch, operation: Operation
) -> None:
    async with client_of(stack, headers_for(stack, operation)) as client:
        answers = await _send_all(client, watch, operation, bodies_for(operation), JSON)
        if not any(answer.is_success for _, answer in answers):
            assert await _charges(client) == 0


_BOUNDARY = b"--x\r\n"
_FILE = b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
FORMS: Mapping[str, bytes] = {
    "nothing": b"",
    "no end": _BOUNDARY + _FILE + b"abc",
    "no parts": b"--x--\r\n",
    "no blank line": _BOUNDARY + b"Content-Disposition: form-data",
    "no disposition": _BOUNDARY + b"\r\nabc\r\n--x--\r\n",
    "no name": _BOUNDARY + b"Content-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n",
    "long header": _BOUNDARY + b"X: " + b"a" * 200_000 + b"\r\n\r\nabc\r\n--x--\r\n",
    "many headers": _BOUNDARY + b"X: a\r\n" * 20_000 + b"\r\nabc\r\n--x--\r\n",
    "many parts": (_BOUNDARY + b'Content-Disposition: form-data; name="a"\r\n\r\n1\r\n') * 20_000 + b"--x--\r\n",
    "many files": (_BOUNDARY + _FILE + b"1\r\n") * 5_000 + b"--x--\r\n",
    "nul in name": _BOUNDARY
    + b'Content-Disposition: form-data; name="file\0"; filename="a\0.jpg"\r\n\r\na\r\n--x--\r\n',
    "bytes in name": _BOUNDARY
    + b'Content-Disposition: form-data; name="\xff\xfe"; filename="\xff"\r\n\r\na\r\n--x--\r\n',
    "two names": _BOUNDARY + b'Content-Disposition: form-data; name="file"; name="image"\r\n\r\na\r\n--x--\r\n',
    "star": _BOUNDARY + b"Content-Disposition: form-data; name=file; filename*=utf-7''%00..%2f\r\n\r\na\r\n--x--\r\n",
    "nested": _BOUNDARY + _FILE + b"--y\r\n" + _FILE + b"--y--\r\n--x--\r\n",
    "encoded": _BOUNDARY + b"Content-Transfer-Encoding: base64\r\n" + _FILE + b"/9j/4AAQSkZJRg==\r\n--x--\r\n",
    "urlencoded": b"a=" + b"%00" * 30_000 + b"&a=" * 10_000,
    "no form": b'{"file": "x"}',
}
_KINDS = (
    f"{MULTIPART}; boundary=x",
    MULTIPART,
    f"{MULTIPART}; boundary=",
    f"{MULTIPART}; boundary={'x' * 3_000}",
    f'{MULTIPART}; boundary="x; boundary=y',
    FORM,
    JSON,
    "",
)


@pytest.mark.parametrize("operation", TAKES_FORMS, ids=lambda row: row.name)
async def test_forms_of_every_bad_sort_are_refused(stack: Stack, watch: Watch, operation: Operation) -> None:
    async with client_of(stack, headers_for(stack, operation)) as client:
        for kind in _KINDS:
            some = FORMS.items() if kind == _KINDS[0] else list(FORMS.items())[:6]
            for name, answer in await _send_all(client, watch, operation, iter(some), kind):
                assert not answer.is_success, f"{name} as {kind}: {answer.status_code} {answer.text[:300]}"
        assert await _charges(client) == 0


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: row.name)
async def test_bodies_of_17_mib_are_refused_before_they_are_kept(
    stack: Stack, watch: Watch, operation: Operation
) -> None:
    piece = b'{"a":"' + b"x" * ((1 << 16) - 6)

    async def pieces() -> Any:
        for _ in range(_HUGE_BYTES // len(piece)):
            yield piece

    kind = operation.body.media if operation.body is not None else JSON
    headers = {"Content-Type": f"{kind}; boundary=x" if kind == MULTIPART else kind}
    async with client_of(stack, headers_for(stack, operation)) as client:
        with watch.timed(f"{operation.name}: 17 MiB"):
            answer = await asked(client, operation.method, path_of(operation), content=pieces(), headers=headers)
        check_answer(operation, answer)
        if operation.body is not None:
            assert not answer.is_success, f"{answer.status_code} {answer.text[:300]}"


async def test_a_hundred_bodies_at_once_stay_under_the_caps(stack: Stack, watch: Watch) -> None:
    """Each as large as is taken at all; the caps are the supervisor's, and the last test looks at them."""
    operation = next(row for row in OPERATIONS if row.name == "submit-batch")
    content = b'{"jobs": [' + b'{"model": "sandbox/echo", "params": {"seed": -1}},' * 300_000 + b"{}]}"
    assert 14 << 20 < len(content) < 16 << 20
    async with client_of(stack, headers_for(stack, operation)) as client:

        async def send() -> int:
            answer = await client.post(path_of(operation), content=content, headers={"Content-Type": JSON})
            return answer.status_code

        statuses = await asyncio.gather(*(send() for _ in range(24)))
        assert all(status < 500 or status == 503 for status in statuses), statuses
        assert await _charges(client) == 0
