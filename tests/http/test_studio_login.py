"""Logging in to studio and out again, over ports in memory: sessions, cookies, forgeries, and who is kept out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.http.google import GoogleVerifier
from infra.http.login import IDLE_S, Logins
from infra.http.passwords import TooManyLogins
from infra.http.tokens import SessionClaims, TokenVerifier
from infra.kafka.ports import NotAppended
from schemas.identifiers import account_id
from schemas.wire import studio as wire
from schemas.wire.studio_documents import ClearedAnswer, LoginAnswer
from schemas.wire.studio_errors import ChangeErrorAnswer, ErrorAnswer, LoginErrorAnswer
from tests.http.fakes import DEPLOYMENT, IDENTIFIER_KEY, Side
from tests.http.studio_side import PASSWORD, ask, cookie, open_studio, session, told
from tests.unit.http.google_keys import CLIENT, GOOD, ISSUER, KeyServer
from tests.unit.http.google_keys import Clock as GoogleClock
from tests.unit.http.google_keys import token as google_token

HOUR_MS = 3_600_000
ADMIN = {"username": "admin", "password": PASSWORD}
CLEAR = "/api/clear-generation-state"


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.stop()


@pytest.fixture
async def side(tmp_path: Path, keys: KeyServer) -> AsyncIterator[Side]:
    clock = GoogleClock()
    google = GoogleVerifier(CLIENT, keys.url, ISSUER, now_s=clock.now_s, monotonic=clock.monotonic)
    async with open_studio(tmp_path, google=google) as made:
        yield made


async def login(side: Side, body: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await ask(side, "POST", "/auth/login", named, json=body)


def session_in(answer: httpx.Response) -> str:
    """The token that the answer sets, once its cookie is as it has to be."""
    (set_cookie,) = [text for text in answer.headers.get_list("set-cookie") if text.startswith("session=")]
    value, *attributes = set_cookie.split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={30 * 86_400}"} == set(attributes)
    return value.removeprefix("session=")


def claims_of(side: Side, token: str) -> tuple[str, str, str, str, SessionClaims]:
    """Account, product, subject, role and the session."""
    verifier = TokenVerifier(side.keys, IDENTIFIER_KEY, DEPLOYMENT, lambda: side.clock.now_ms() / 1000)
    caller = verifier.verify(token)
    assert caller.session is not None
    return caller.account, caller.product, caller.subject, caller.role, caller.session


async def is_in(side: Side, token: str) -> bool:
    """Whether the session counts."""
    answer = await ask(side, "POST", CLEAR, {"Cookie": f"session={token}"})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def test_the_administrator_logs_in_by_password(side: Side) -> None:
    answer = await login(side, ADMIN)
    assert told(answer, LoginAnswer) == {"success": True, "redirect_url": "/dashboard"}
    assert answer.headers["cache-control"] == "no-store"
    account, product, subject, role, claims = claims_of(side, session_in(answer))
    assert (product, subject, role) == ("studio", "admin", "user"), "an operator's rights are not for browsers"
    assert account == account_id(IDENTIFIER_KEY, "studio", "admin")
    assert claims.idle_s == IDLE_S == 86_400
    assert await is_in(side, session_in(answer))


async def test_a_user_of_google_logs_in_by_an_id_token(side: Side) -> None:
    answer = await login(side, {"credential": google_token()})
    told(answer, LoginAnswer)
    _, product, subject, _, claims = claims_of(side, session_in(answer))
    assert (product, subject, claims.idle_s) == ("studio", f"google:{GOOD['sub']}", 86_400)
    (record,) = await side.accesses()
    (access,) = record.accesses
    assert (record.account, access.actor) == (account_id(IDENTIFIER_KEY, "studio", subject),) * 2
    assert (access.operation, access.action, access.role) == ("studio-login", "change", "user")


@pytest.mark.parametrize(
    "body",
    [
        {"username": "admin", "password": "wrong"},
        {"username": "root", "password": PASSWORD},
        {"username": "admin", "password": ""},
        {"username": "", "password": ""},
        {"username": "admin", "password": "x" * 100_000},
        {"credential": "no token"},
        {"credential": ""},
        {"credential": google_token(aud="another client")},
        {"credential": google_token(exp=1)},
        {"credential": "x" * 100_000},
    ],
)
async def test_credentials_that_do_not_count_are_401(side: Side, body: dict[str, str]) -> None:
    answer = await login(side, body)
    assert told(answer, LoginErrorAnswer, 401) == {"success": False, "message": "Invalid credentials"}
    assert "set-cookie" not in answer.headers
    assert await side.accesses() == []


@pytest.mark.parametrize("body", [{}, {"username": "admin"}, {"password": PASSWORD}, {"credential": None}, {"x": 1}])
async def test_a_login_without_credentials_is_400(side: Side, body: dict[str, Any]) -> None:
    document = told(await login(side, body), LoginErrorAnswer, 400)
    assert document["message"] == "Send a credential of Google, or username and password"


@pytest.mark.parametrize("body", [[], 5, "x", {"credential": 5}, {"username": ["admin"], "password": {}}])
async def test_a_login_of_another_shape_is_400(side: Side, body: Any) -> None:
    told(await login(side, body), LoginErrorAnswer, 400)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"username": "\\ud800", "password": "x"}', b"[" * 100_000])
async def test_what_is_no_json_is_400(side: Side, content: bytes) -> None:
    answer = await ask(side, "POST", "/auth/login", {"Content-Type": "application/json"}, content=content)
    told(answer, LoginErrorAnswer, 400)
    told(await ask(side, "POST", "/auth/login", {"Content-Type": "text/plain"}, content=b"{}"), LoginErrorAnswer, 400)


async def test_without_a_client_id_google_login_says_so(tmp_path: Path) -> None:
    async with open_studio(tmp_path) as side:
        document = told(await login(side, {"credential": google_token()}), LoginErrorAnswer, 401)
        assert document["message"].startswith("Google login is not set up on this server")
        told(await login(side, ADMIN), LoginAnswer)


async def test_while_google_does_not_answer_it_is_502(side: Side, keys: KeyServer) -> None:
    keys.status = 500
    answer = await login(side, {"credential": google_token()})
    told(answer, LoginErrorAnswer, 502)
    assert answer.headers["retry-after"] == "5"


async def test_too_many_passwords_at_once_are_503(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(*_: str) -> bool:
        raise TooManyLogins("Too many logins wait for their turn; try again in a moment.")

    monkeypatch.setattr(side.ports[Logins].admin, "verify", busy)
    answer = await login(side, ADMIN)
    told(answer, LoginErrorAnswer, 503)
    assert answer.headers["retry-after"] == "5"


async def test_ten_logins_a_minute_come_from_an_address(side: Side) -> None:
    for _ in range(10):
        told(await login(side, {"credential": "x"}), LoginErrorAnswer, 401)
    answer = await login(side, ADMIN)
    document = told(answer, LoginErrorAnswer, 429)
    assert document["message"] == f"Too many requests; try again in {answer.headers['retry-after']} seconds"
    side.clock.advance(60_000)
    told(await login(side, ADMIN), LoginAnswer)


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.test"}, {"Sec_Fetch_Site": "cross-site"}])
async def test_a_page_elsewhere_logs_nobody_in(side: Side, headers: dict[str, str]) -> None:
    told(await login(side, ADMIN, **headers), LoginErrorAnswer, 403)
    told(await login(side, ADMIN, Origin="http://darkroom.test", Sec_Fetch_Site="same-origin"), LoginAnswer)


async def test_a_session_slides_and_ends_after_a_day_without_use(side: Side) -> None:
    token = session_in(await login(side, ADMIN))
    for _ in range(3):
        side.clock.advance(24 * HOUR_MS - 1)
        assert await is_in(side, token)
    side.clock.advance(24 * HOUR_MS)
    answer = await ask(side, "POST", CLEAR, {"Cookie": f"session={token}"})
    assert told(answer, ChangeErrorAnswer, 401)["error"] == "The session has been idle for too long; log in again."


async def test_logout_ends_the_session_and_not_only_its_cookie(side: Side) -> None:
    token, other = session_in(await login(side, ADMIN)), session_in(await login(side, ADMIN))
    answer = await ask(side, "GET", "/auth/logout", {"Cookie": f"session={token}", "Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/login")
    assert any(text.startswith("session=; ") and "Max-Age=0" in text for text in answer.headers.get_list("set-cookie"))
    assert not await is_in(side, token)
    assert await is_in(side, other)
    *_, claims = claims_of(side, token)
    accesses = [access for record in await side.accesses() for access in record.accesses]
    assert [access.objects for access in accesses if access.operation == "studio-logout"] == [(claims.id,)]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_link_elsewhere_logs_nobody_out(side: Side, site: str) -> None:
    token = session(side)
    answer = await ask(side, "GET", "/auth/logout", {"Cookie": f"session={token}", "Sec-Fetch-Site": site})
    assert (answer.status_code, answer.headers["location"]) == (302, "/login")
    assert "set-cookie" not in answer.headers
    assert await is_in(side, token)


async def test_what_only_looks_logs_nobody_out(side: Side) -> None:
    token = session(side)
    assert (await ask(side, "HEAD", "/auth/logout", {"Cookie": f"session={token}"})).status_code == 302
    assert await is_in(side, token)


@pytest.mark.parametrize("headers", [{}, {"Cookie": "session=rubbish"}, {"Authorization": "Bearer rubbish"}])
async def test_who_is_not_in_is_sent_to_the_login_too(side: Side, headers: dict[str, str]) -> None:
    answer = await ask(side, "GET", "/auth/logout", headers)
    assert (answer.status_code, answer.headers["location"]) == (302, "/login")


async def test_a_bearer_token_logs_out_too(side: Side) -> None:
    token = session(side)
    assert (await ask(side, "GET", "/auth/logout", {"Authorization": f"Bearer {token}"})).status_code == 302
    assert not await is_in(side, token)


async def test_while_the_log_is_away_nobody_is_told_to_be_out(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: Any) -> None:
        raise NotAppended("away")

    monkeypatch.setattr(side.records, "append", away)
    token = session(side)
    answer = await ask(side, "GET", "/auth/logout", {"Cookie": f"session={token}"})
    told(answer, ErrorAnswer, 503)
    assert "set-cookie" not in answer.headers
    assert await is_in(side, token)


async def test_a_token_of_darkroom_token_works_as_cookie_and_as_bearer(side: Side) -> None:
    plain = side.token(product="studio")
    for token in (session(side), plain):
        assert await is_in(side, token)
        told(await ask(side, "POST", CLEAR, {"Authorization": f"Bearer {token}"}), ClearedAnswer)


@pytest.mark.parametrize("headers", [{}, {"Cookie": "session=rubbish"}, {"Authorization": "Basic YTpi"}])
@pytest.mark.parametrize(
    ("method", "path", "shape"),
    [
        ("POST", "/api/generate", ErrorAnswer),
        ("DELETE", "/api/assets/1", ChangeErrorAnswer),
        ("POST", "/api/delete-image", ChangeErrorAnswer),
        ("POST", CLEAR, ChangeErrorAnswer),
    ],
)
async def test_who_is_not_logged_in_gets_401_as_json(
    side: Side, method: str, path: str, shape: Any, headers: dict[str, str]
) -> None:
    document = told(await ask(side, method, path, headers), shape, 401)
    assert document["error"] if headers else document["error"] == "Not logged in"
    strange = {"Authorization": f"Bearer {side.token()}"}
    told(await ask(side, method, path, strange), shape, 401)


async def test_a_page_elsewhere_changes_nothing(side: Side) -> None:
    for more in ({"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        told(await ask(side, "POST", CLEAR, {**cookie(side), **more}), ChangeErrorAnswer, 403)
    own = {"Origin": "http://darkroom.test", "Sec-Fetch-Site": "same-origin"}
    told(await ask(side, "POST", CLEAR, {**cookie(side), **own}), ClearedAnswer)


async def test_clearing_forgets_what_the_browser_follows_and_cancels_nothing(side: Side) -> None:
    answer = await ask(side, "POST", CLEAR, cookie(side, **{wire.GENERATION_COOKIE: "req_x"}))
    assert told(answer, ClearedAnswer) == {"success": True, "message": "Generation state cleared successfully"}
    (forgotten,) = answer.headers.get_list("set-cookie")
    assert forgotten.startswith(f"{wire.GENERATION_COOKIE}=;")
    assert side.decider.envelopes == []
    assert json.loads((await ask(side, "POST", CLEAR)).content)["success"] is True
