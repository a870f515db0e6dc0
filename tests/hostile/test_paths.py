"""Paths that are tricks: what is no id is nobody's, at every operation, and no path leads out of its own."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from infra.http.routing import Operation
from tests.hostile.entries import OPERATIONS, PAGES, asked, check_answer, check_media, client_of, headers_for, path_of
from tests.hostile.watch import Watch
from tests.hostile.wire import head, sent
from tests.stack import Stack

NAMED = [row for row in OPERATIONS if row.path_names]
VALUES = (
    "..",
    "../..",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%2f..%2fetc%2fpasswd",
    "%252e%252e%252f",
    "%00",
    "asset_" + "a" * 26 + "%00",
    "%0d%0aX-Injected:%201",
    "%0a",
    "%ff%fe",
    "%c0%af",
    "%ed%a0%80",
    "%u0000",
    "%",
    "%zz",
    "~root",
    "*",
    "%2a",
    "'",
    "'%20OR%20'1'='1",
    "%27;DROP%20TABLE%20jobs;--",
    "$%7Bjndi%7D",
    "%25s%25n",
    "asset_" + "a" * 4_000,
    "a" * 7_000,
    "0",
    "-1",
    "1e9",
    "9" * 400,
    "0x1",
    "null",
    "undefined",
    "NaN",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "job_" + "A" * 26,
    "acct_" + "a" * 26,
    "darkroom:%00",
    ":",
    ":cancel",
    "%3Acancel",
    "job_x:cancel:cancel",
    ";a=b",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "con",
    ".",
    "%20",
    "%09",
)
QUERIES = (
    "limit=-1",
    "limit=1e9",
    "limit=99999999999999999999",
    "limit=%00",
    "cursor=%00",
    "cursor=" + "A" * 5_000,
    "cursor=..%2f",
    "sort=id;DROP%20TABLE%20jobs",
    "sort=%00",
    "status=%00",
    "status[]=failed",
    "as_of=%00",
    "as_of=9999-12-31T23:59:59Z",
    "as_of=0000-00-00T00:00:00Z",
    "as_of=1.2.3",
    "version=-1",
    "version=" + "9" * 300,
    "offset=-1",
    "page=0",
    "a=b&a=c",
    "expires=%00&signature=%00",
    "expires=" + "9" * 300 + "&signature=x",
    "ended_after=%00",
    "&" * 2_000,
    "=" * 2_000,
    "%",
    "%ff=%fe",
    "model=%00",
    "granularity=%00",
    "next=//evil.example",
    "next=javascript:alert(1)",
    "next=http://evil.example",
)


@pytest.mark.parametrize("operation", NAMED, ids=lambda row: row.name)
async def test_what_is_no_id_is_nobodys(stack: Stack, watch: Watch, operation: Operation) -> None:
    async with client_of(stack, headers_for(stack, operation)) as client:
        for value in VALUES:
            url = httpx.URL(stack.url).copy_with(raw_path=path_of(operation, value).encode())
            with watch.timed(f"{operation.name}: {value[:60]}"):
                answer = await asked(client, operation.method, str(url) if "%" not in value else url)  # type: ignore[arg-type]
            _check_nothing_told(operation, answer)


def _check_nothing_told(operation: Operation, answer: httpx.Response) -> None:
    if answer.headers.get("content-type", "").startswith("text/html"):
        check_media(answer)
        assert answer.status_code < 500, answer.text[:300]
    elif answer.status_code in (404, 405, 414):
        assert "Traceback" not in answer.text  # another operation's path, perhaps: in the shape of whose it is
    else:
        check_answer(operation, answer)
    assert "x-injected" not in answer.headers
    assert "root:" not in answer.text
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize("operation", [row for row in OPERATIONS if row.method == "GET"], ids=lambda row: row.name)
async def test_queries_of_every_bad_sort_are_answered(stack: Stack, watch: Watch, operation: Operation) -> None:
    async with client_of(stack, headers_for(stack, operation)) as client:
        for query in QUERIES:
            url = httpx.URL(stack.url).copy_with(raw_path=f"{path_of(operation)}?{query}".encode())
            with watch.timed(f"{operation.name}: ?{query[:60]}"):
                answer = await asked(client, "GET", url)  # type: ignore[arg-type]
            _check_nothing_told(operation, answer)
            target = answer.headers.get("location", "")
            assert not target.startswith(("//", "http:", "javascript:")), target


TARGETS = (
    b"//v1/account",
    b"/v1//account",
    b"/v1/account/",
    b"/v1/./account",
    b"/v1/../v1/account",
    b"/V1/ACCOUNT",
    b"/v1/account%2f",
    b"/v1%2faccount",
    b"/v1/account;x=y",
    b"/v1/account%00",
    b"/v1\\account",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/../../etc/passwd",
    b"/static/pages/..%2f..%2f..%2finfra%2fplan.toml",
    b"/static/pages/%2e%2e%2fplan.toml",
    b"/static/pages//etc/passwd",
    b"/static/generated/..%2f..%2fetc%2fpasswd",
    b"/docs/..%2f",
    b"http://evil.example/v1/account",
    b"http:///v1/account",
    b"https://127.0.0.1/v1/account",
    b"//evil.example/v1/account",
    b"file:///etc/passwd",
    b"*",
    b"/",
    b"/\xff\xfe",
    b"/" + b"a/" * 3_500,
    b"/" + b"../" * 2_000,
    b"/v1/account#x",
    b"/v1/account?" + b"a=" * 3_000,
    b"/.git/config",
    b"/.env",
    b"/admin",
)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: quote(target)[:40])
async def test_targets_lead_nowhere_without_a_token(stack: Stack, watch: Watch, target: bytes) -> None:
    """None opens an account, a file, or anything but what stands at that path for everybody."""
    with watch.timed(f"target {target[:60]!r}"):
        told = await sent(stack, head("GET", target))
    assert told.closed
    assert len(told.statuses) == 1
    expected = (200,) if target == b"/" else (302, 303, 307, 400, 401, 404, 405, 414)
    assert told.statuses[0] in expected, told.content[:300]
    assert b"root:" not in told.content
    assert b"opening_credits" not in told.content


@pytest.mark.parametrize("page", PAGES)
async def test_pages_take_no_other_method(stack: Stack, page: str) -> None:
    async with client_of(stack) as client:
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"):
            answer = await client.request(method, page)
            assert answer.status_code == 405, f"{method}: {answer.status_code}"
            check_media(answer)
        check_media(await client.get(page))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: row.name)
async def test_methods_that_nobody_serves_are_405(stack: Stack, operation: Operation) -> None:
    served = {row.method for row in OPERATIONS if path_of(row) == path_of(operation)}
    async with client_of(stack, headers_for(stack, operation)) as client:
        for method in ("PUT", "PATCH", "TRACE", "PROPFIND", "XXXX"):
            if method not in served:
                answer = await client.request(method, path_of(operation))
                assert answer.status_code in (400, 405), f"{method}: {answer.status_code}"
