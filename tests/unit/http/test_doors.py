"""The doors of documented contracts: who may come in, forgeries, windows, and the shape in which they say no."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.clock import ManualClock
from infra.http.addresses import AddressHasher
from infra.http.application import build_application
from infra.http.auth import BearerGate, caller_or_nobody
from infra.http.doors import Doors, Gates
from infra.http.limits import Limiter, LimitSettings
from infra.http.pressure import LoopPressure
from infra.http.problems import Problem, WireProblem
from infra.http.routing import Operation, contract_row
from infra.http.sessions import Authenticator, SessionTable
from infra.http.signing_keys import KeyFolder
from infra.http.tokens import TokenVerifier, sign_token
from schemas.refusals import QuotaExceeded
from schemas.wire.surface import Described, Fault, Limit, Surface, WireAnswer
from tests.http.fakes import DEPLOYMENT, IDENTIFIER_KEY, NOW_MS, make_keys

HOST = "http://shop.test"


def told(fault: Fault) -> WireAnswer:
    used = fault.refusal.used if isinstance(fault.refusal, QuotaExceeded) else None
    document = {"oops": fault.code, "fields": [error.field for error in fault.fields], "used": used}
    return WireAnswer(status=fault.status, document=document, headers=(("x-shape", "shop"),))


SHOP = Surface(
    product="ai-image",
    title="Shop",
    summary="A contract",
    prefixes=("/shop",),
    fault=told,
    error_model=None,
    guest_cookie="guest_id",
    csrf="double-submit",
    rate_headers=("limit", "remaining", "reset"),
)
DESK = replace(SHOP, title="Desk", prefixes=("/desk",), guest_cookie=None, cookie="desk", csrf="same-origin")


async def who(request: Request) -> Response:
    caller = caller_or_nobody(request)
    return JSONResponse({"who": None if caller is None else caller.subject, "plan": caller and caller.plan})


async def fails(request: Request) -> Response:
    if request.query_params:
        raise WireProblem(WireAnswer(status=418, document={"worded": True}))
    raise Problem(409, "conflict", "No.")


def row(
    surface: Surface, method: Any, path: str, *limits: Limit, handler: Any = who, access: Any = "bearer"
) -> Operation:
    described = Described(name=f"{method} {path}", summary="", answers={200: "text/plain"}, limits=limits)
    return contract_row(surface, method, path, handler, described, access=access)


ROWS = (
    row(SHOP, "GET", "/shop/me"),
    row(SHOP, "POST", "/shop/buy", Limit("buy", 2, 60), Limit("guests", 3, 60, "guest-address")),
    row(SHOP, "POST", "/shop/fails", handler=fails),
    row(DESK, "GET", "/desk/me", Limit("a", 9, 60), Limit("b", 1, 60)),
    row(DESK, "POST", "/desk/do"),
    row(DESK, "POST", "/desk/login", Limit("login", 1, 60, "address"), access="public"),
    row(DESK, "GET", "/desk/maybe", access="optional"),
)


class Shop:
    """The application and its clock."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.clock = ManualClock(NOW_MS)
        self.keys: KeyFolder = make_keys(root / "jwt")
        verifier = TokenVerifier(self.keys, IDENTIFIER_KEY, DEPLOYMENT, self._now_s)
        authenticator = Authenticator(verifier, SessionTable(), self.clock)
        limiter, hasher = Limiter(LimitSettings(**settings), self._now_s), AddressHasher(b"a" * 32)
        doors = Doors(authenticator, limiter, hasher, IDENTIFIER_KEY, ["https://partner.test"])
        gate = Gates(BearerGate(authenticator, limiter, hasher), doors, LoopPressure(60.0))
        app = build_application(ROWS, gate, {}, registry=CollectorRegistry())
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST)

    def _now_s(self) -> float:
        return self.clock.now_ms() / 1000

    def token(self, product: str = "ai-image", subject: str = "ada") -> str:
        return sign_token(self.keys, DEPLOYMENT, product, subject, now_s=NOW_MS // 1000, ttl_s=600)

    async def ask(self, method: str, path: str, cookies: str = "", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookies:
            named["Cookie"] = cookies
        self.http.cookies.clear()
        return await self.http.request(method, path, headers=named)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    made = Shop(tmp_path)
    async with made.http:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def body(answer: httpx.Response, status: int = 200) -> Mapping[str, Any]:
    assert answer.status_code == status, answer.text
    document: Mapping[str, Any] = answer.json()
    return document


async def test_a_bearer_token_names_a_user_and_a_cookie_a_guest(shop: Shop) -> None:
    assert body(await shop.ask("GET", "/shop/me", **bearer(shop.token())))["who"] == "ada"
    guest = body(await shop.ask("GET", "/shop/me", "guest_id=abc123"))
    assert (guest["who"], guest["plan"]) == ("guest:abc123", "guest")


async def test_who_comes_without_a_cookie_gets_one_and_is_known_by_it(shop: Shop) -> None:
    first = await shop.ask("GET", "/shop/me")
    cookie = next(text for text in first.headers.get_list("set-cookie") if text.startswith("guest_id="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    again = await shop.ask("GET", "/shop/me", cookie.split(";")[0])
    assert body(again)["who"] == body(first)["who"]
    assert not [text for text in again.headers.get_list("set-cookie") if text.startswith("guest_id=")]


async def test_a_bad_token_is_refused_and_makes_no_guest(shop: Shop) -> None:
    answer = await shop.ask("GET", "/shop/me", "guest_id=abc", **bearer("nonsense"))
    assert body(answer, 401)["oops"] == "token-invalid"


async def test_a_token_counts_for_its_own_product_only(shop: Shop) -> None:
    assert body(await shop.ask("GET", "/shop/me", **bearer(shop.token("studio"))), 401)["oops"] == "token-invalid"


async def test_a_session_cookie_names_a_user(shop: Shop) -> None:
    assert body(await shop.ask("GET", "/desk/me", f"desk={shop.token()}"))["who"] == "ada"
    assert body(await shop.ask("GET", "/desk/me"), 401)["oops"] == "unauthenticated"


async def test_a_change_with_a_cookie_needs_the_pair(shop: Shop) -> None:
    cookies = "guest_id=abc; csrf_token=123"
    assert (await shop.ask("POST", "/shop/buy", cookies, X_CSRF_Token="123", Origin=HOST)).status_code == 200
    assert body(await shop.ask("POST", "/shop/buy", cookies), 403)["oops"] == "csrf"
    assert body(await shop.ask("POST", "/shop/buy", cookies, X_CSRF_Token="124"), 403)["oops"] == "csrf"
    assert (
        body(await shop.ask("POST", "/shop/buy", "guest_id=abc; csrf_token=", X_CSRF_Token=""), 403)["oops"] == "csrf"
    )
    assert body(await shop.ask("POST", "/shop/buy", "guest_id=abc", X_CSRF_Token="1"), 403)["oops"] == "csrf"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.test", "null", "http://shop.test.evil.test", "http://shop.test:81", "http://[", "http://[::1", ""],
)
async def test_a_foreign_origin_is_refused_whatever_the_pair(shop: Shop, origin: str) -> None:
    answer = await shop.ask("POST", "/shop/buy", "guest_id=a; csrf_token=1", X_CSRF_Token="1", Origin=origin)
    assert body(answer, 403)["oops"] == "foreign-origin"
    answer = await shop.ask("POST", "/desk/do", f"desk={shop.token()}", Origin=origin)
    assert body(answer, 403)["oops"] == "foreign-origin"


async def test_allowed_origins_and_bearers_without_cookies_pass(shop: Shop) -> None:
    pair = {"X_CSRF_Token": "1", "Origin": "https://partner.test"}
    assert (await shop.ask("POST", "/shop/buy", "guest_id=a; csrf_token=1", **pair)).status_code == 200
    headers = {**bearer(shop.token()), "Origin": "https://evil.test"}
    assert (await shop.ask("POST", "/shop/buy", **headers)).status_code == 200


async def test_a_page_elsewhere_is_told_by_sec_fetch_site_where_no_origin_is(shop: Shop) -> None:
    cookie = f"desk={shop.token()}"
    assert body(await shop.ask("POST", "/desk/do", cookie, Sec_Fetch_Site="cross-site"), 403)
    assert body(await shop.ask("POST", "/desk/do", cookie, Sec_Fetch_Site="same-site"), 403)
    assert (await shop.ask("POST", "/desk/do", cookie, Sec_Fetch_Site="same-origin")).status_code == 200
    assert (await shop.ask("POST", "/desk/do", cookie)).status_code == 200
    assert body(await shop.ask("POST", "/desk/login", Origin="https://evil.test"), 403), "a login makes cookies"


async def test_who_sends_cookies_is_handed_the_csrf_cookie_that_is_missing(shop: Shop) -> None:
    for answer in (
        await shop.ask("GET", "/shop/me", "guest_id=abc"),
        await shop.ask("GET", "/shop/me", "guest_id=abc", **bearer(shop.token())),
        await shop.ask("POST", "/shop/buy", "guest_id=abc"),
        await shop.ask("POST", "/shop/buy"),
    ):
        cookie = next(text for text in answer.headers.get_list("set-cookie") if text.startswith("csrf_token="))
        assert "HttpOnly" not in cookie, "the page's script has to read it"


async def test_who_sends_a_token_alone_gets_no_cookie_that_would_have_to_be_matched(shop: Shop) -> None:
    for method, path in (("GET", "/shop/me"), ("POST", "/shop/buy")):
        answer = await shop.ask(method, path, **bearer(shop.token()))
        assert answer.status_code == 200
        assert answer.headers.get_list("set-cookie") == []


async def test_windows_count_each_caller_and_say_how_it_stands(shop: Shop) -> None:
    ada, eve = bearer(shop.token()), bearer(shop.token(subject="eve"))
    answers = [await shop.ask("POST", "/shop/buy", **ada) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-remaining"] == "1"
    assert answers[2].headers["x-ratelimit-remaining"] == "0"
    assert int(answers[2].headers["x-ratelimit-reset"]) == NOW_MS // 1000 + 60
    assert int(answers[2].headers["retry-after"]) == 60
    assert (await shop.ask("POST", "/shop/buy", **eve)).status_code == 200
    shop.clock.advance(60_000)
    assert (await shop.ask("POST", "/shop/buy", **ada)).status_code == 200


async def test_the_tightest_of_several_windows_is_shown_and_stops(shop: Shop) -> None:
    cookie = f"desk={shop.token()}"
    assert (await shop.ask("GET", "/desk/me", cookie)).headers["ratelimit-limit"] == "1"
    stopped = await shop.ask("GET", "/desk/me", cookie)
    assert (stopped.status_code, stopped.headers["ratelimit-limit"]) == (429, "1")


async def test_forged_requests_do_not_use_up_a_users_window(shop: Shop) -> None:
    for _ in range(5):
        await shop.ask("POST", "/shop/buy", "guest_id=a; csrf_token=1", Origin="https://evil.test")
    answer = await shop.ask("POST", "/shop/buy", "guest_id=a; csrf_token=1", X_CSRF_Token="1", Origin=HOST)
    assert answer.headers["x-ratelimit-remaining"] == "1"


async def test_new_guests_of_one_address_share_a_days_quota(shop: Shop) -> None:
    answers = [await shop.ask("POST", "/shop/buy") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert body(answers[3], 429)["used"] == 3, "told as a quota that is used up"


async def test_public_and_optional_rows(shop: Shop) -> None:
    assert body(await shop.ask("POST", "/desk/login"))["who"] is None
    assert (await shop.ask("POST", "/desk/login")).status_code == 429, "counted by the address"
    assert body(await shop.ask("GET", "/desk/maybe", "desk=rubbish"))["who"] is None
    assert body(await shop.ask("GET", "/desk/maybe", f"desk={shop.token()}"))["who"] == "ada"


async def test_everything_below_a_contracts_paths_is_told_in_its_shape(shop: Shop) -> None:
    missing = await shop.ask("GET", "/shop/nothing")
    assert body(missing, 404)["oops"] == "not-found"
    assert missing.headers["x-shape"] == "shop"
    assert body(await shop.ask("PUT", "/shop/me"), 405)["oops"] == "method-not-allowed"
    assert body(await shop.ask("POST", "/shop/fails", **bearer(shop.token())), 409)["oops"] == "conflict"
    assert body(await shop.ask("POST", "/shop/fails?1", **bearer(shop.token())), 418) == {"worded": True}
    assert (await shop.ask("GET", "/shopping")).headers["content-type"] == "application/problem+json"


async def test_answers_carry_the_guards(shop: Shop) -> None:
    answer = await shop.ask("GET", "/shop/me", "guest_id=a")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_amounts_can_be_changed_by_the_deployment(tmp_path: Path) -> None:
    shop = Shop(tmp_path, amounts={"buy": 1})
    answers = [await shop.ask("POST", "/shop/buy", **bearer(shop.token())) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
