"""Tokens, origins and roles that are not what they claim, at every operation that asks who is there."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest

from infra.http.routing import Operation
from tests.contracts.conftest import fresh_address
from tests.hostile.entries import OPERATIONS, asked, check_answer, client_of, headers_for, path_of
from tests.hostile.forged import Forger, keys_as_tokens
from tests.hostile.watch import Watch
from tests.stack import Stack

GUARDED = [row for row in OPERATIONS if row.access in ("bearer", "admin")]
BY_COOKIE = [
    row
    for row in OPERATIONS
    if row.surface is not None and row.surface.csrf != "none" and row.method != "GET" and row.access != "public"
]


def _is_turned_away(answer: httpx.Response) -> bool:
    """401, or a page that leads to the login."""
    if answer.status_code in (302, 303, 307):
        return urlsplit(answer.headers["location"]).path == "/login"
    return answer.status_code == 401


@pytest.mark.parametrize("operation", GUARDED, ids=lambda row: row.name)
async def test_forged_tokens_are_nobodys(stack: Stack, watch: Watch, operation: Operation) -> None:
    product = "darkroom" if operation.surface is None else operation.surface.product
    forged = {**Forger(stack, product).tokens(), **{f"file {name}": name for name in keys_as_tokens(stack)}}
    async with client_of(stack, {"X-Forwarded-For": fresh_address()}) as client:
        for name, token in forged.items():
            headers = {"Authorization": f"Bearer {token}"}
            with watch.timed(f"{operation.name}: token {name}"):
                answer = await client.request(operation.method, path_of(operation), headers=headers)
            if len(token) > 8_000:
                assert answer.status_code in (401, 431, 302, 303)
                continue
            check_answer(operation, answer)
            assert _is_turned_away(answer), f"{name}: {answer.status_code} {answer.text[:200]}"


@pytest.mark.parametrize("operation", GUARDED, ids=lambda row: row.name)
async def test_tokens_of_other_products_and_two_at_once_are_refused(stack: Stack, operation: Operation) -> None:
    async with client_of(stack, {"X-Forwarded-For": fresh_address()}) as client:
        if operation.surface is not None:
            other = stack.token("stranger", product="darkroom")
            headers = {"Authorization": f"Bearer {other}"}
            answer = await client.request(operation.method, path_of(operation), headers=headers)
            check_answer(operation, answer)
            assert _is_turned_away(answer), f"{answer.status_code} {answer.text[:200]}"
        own = headers_for(stack, operation)["Authorization"]
        twice = [("Authorization", own), ("Authorization", own)]
        answer = await client.request(operation.method, path_of(operation), headers=twice)
        check_answer(operation, answer)
        assert _is_turned_away(answer), f"{answer.status_code} {answer.text[:200]}"


@pytest.mark.parametrize("operation", [row for row in OPERATIONS if row.access == "admin"], ids=lambda row: row.name)
async def test_users_are_no_operators(stack: Stack, operation: Operation) -> None:
    for role in ("user", "Admin", "admin ", "root", "admin\0"):
        token = stack.token("climber", role=role)
        async with client_of(stack, {"Authorization": f"Bearer {token}"}) as client:
            answer = await client.request(operation.method, path_of(operation), json={"amount": 1})
            check_answer(operation, answer)
            assert answer.status_code == 403, f"{role}: {answer.status_code} {answer.text[:200]}"


def _foreign_origins(url: str) -> list[dict[str, str]]:
    host = urlsplit(url).netloc
    name, _, port = host.partition(":")
    origins = [
        "http://evil.example", "null", "", "http://", "http://[", "http://]", "http://[::1", "file://", "://", "http:",
        f"http://{host}.evil.example", f"http://evil.example/{host}", f"http://evil.example#{host}",
        f"http://evil.example?{host}", f"http://{name}.evil.example:{port}", f"http://evil{host}",
        f"http://{name}:{int(port) + 1}", f"http://{name}", f"http://user@evil.example:{port}", f"{host}", "\xff",
        f"http://{host} http://evil.example", f"http://{host}, http://evil.example", "a" * 4_000,
    ]  # fmt: skip
    sites = [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "cross-origin", "SAME-ORIGIN", "x")]
    return [{"Origin": origin} for origin in origins] + sites


@pytest.mark.parametrize("operation", BY_COOKIE, ids=lambda row: row.name)
async def test_pages_elsewhere_cannot_act_for_a_user(stack: Stack, watch: Watch, operation: Operation) -> None:
    """The browser sends the cookie; the forger has everything else right, the pair of cookie and header included."""
    surface = operation.surface
    assert surface is not None
    token = headers_for(stack, operation)["Authorization"].removeprefix("Bearer ")
    name, value = (surface.cookie, token) if surface.cookie is not None else (surface.guest_cookie, "guest")
    cookies = f"{name}={value}; csrf_token=pair"
    async with client_of(stack, {"X-Forwarded-For": fresh_address()}) as client:
        for foreign in _foreign_origins(stack.url):
            sent = {"Cookie": cookies, "X-CSRF-Token": "pair", **foreign}
            headers = [(key.encode(), text.encode("latin-1")) for key, text in sent.items()]
            with watch.timed(f"{operation.name}: {foreign}"):
                answer = await client.request(operation.method, path_of(operation), headers=headers)
            check_answer(operation, answer)
            assert answer.status_code == 403, f"{foreign}: {answer.status_code} {answer.text[:200]}"
        if surface.csrf == "double-submit":
            for pair in ({}, {"X-CSRF-Token": "other"}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "pai"}):
                headers_now = {"Cookie": cookies, **pair}
                answer = await client.request(operation.method, path_of(operation), headers=headers_now)
                check_answer(operation, answer)
                assert answer.status_code == 403, f"{pair}: {answer.status_code} {answer.text[:200]}"


@pytest.mark.parametrize("operation", [row for row in GUARDED if row.surface is None], ids=lambda row: row.name)
async def test_cookies_open_no_native_operation(stack: Stack, operation: Operation) -> None:
    token = headers_for(stack, operation)["Authorization"].removeprefix("Bearer ")
    names = ("session", "next-auth.session-token", "guest_id", "Authorization", "token", "access_token")
    cookies = "; ".join(f"{name}={token}" for name in names)
    async with client_of(stack) as client:
        query = {"token": token, "access_token": token}
        headers = {"Cookie": cookies}
        answer = await client.request(operation.method, path_of(operation), headers=headers, params=query)
        check_answer(operation, answer)
        assert answer.status_code == 401


async def test_a_guest_is_made_by_no_bad_token(stack: Stack) -> None:
    operation = next(row for row in OPERATIONS if row.name == "ai-image-usage")
    async with client_of(stack, {"X-Forwarded-For": fresh_address()}) as client:
        for name, token in Forger(stack, "ai-image").tokens().items():
            headers = {"Authorization": f"Bearer {token}"}
            answer = await asked(client, "GET", path_of(operation), headers=headers)
            assert "guest_id" not in answer.headers.get("set-cookie", ""), name
