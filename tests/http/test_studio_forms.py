"""The forms of document 004's pages over ports in memory: login, a generation and what is wrong with it, deletion."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.http.limits import LimitSettings
from infra.kafka.ports import OutcomeUnknown
from schemas import refusals as no
from schemas.commands import SubmitJob
from schemas.replies import Refused
from schemas.wire.studio_paths import request_id
from tests.http.fakes import Side, stored_keys
from tests.http.studio_side import (
    PASSWORD,
    PICTURE,
    ask,
    commands,
    cookie,
    decides,
    deleted,
    has_result,
    open_studio,
)
from tests.pages import page_of

SCRIPT = "<script>alert('x')</script>"
ADMIN = {"username": "admin", "password": PASSWORD}


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    async with open_studio(tmp_path) as made:
        made.decider.script = decides(lambda _: None)
        yield made


def text(answer: httpx.Response, status: int) -> str:
    """The page's HTML, once it is a page as all have to be."""
    return page_of(answer, status).text


def led_to(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.headers["location"]


async def send(side: Side, fields: Mapping[str, str], query: str = "", **files: bytes) -> httpx.Response:
    """The form of a generation as a browser sends it: texts first, then files."""
    parts: dict[str, Any] = {name: (None, value) for name, value in fields.items()}
    parts |= {name: (f"{name}.jpg", content, "image/jpeg") for name, content in files.items()}
    return await ask(side, "POST", f"/dashboard{query}", files=parts)


async def test_who_is_not_logged_in_is_led_to_the_login_and_back(side: Side) -> None:
    answer = await ask(side, "POST", "/dashboard", {}, files={"x": (None, "")})
    assert led_to(answer) == "/login"
    page = text(await ask(side, "GET", "/login?next=/library%3Ftype%3Dvideo", {}), 200)
    assert 'name="next" value="/library?type=video"' in page
    answer = await ask(side, "POST", "/login", {}, data={**ADMIN, "next": "/library?type=video"})
    assert led_to(answer) == "/library?type=video"
    assert answer.headers["set-cookie"].startswith("session=")
    session = answer.headers["set-cookie"].split(";")[0]
    assert led_to(await ask(side, "GET", "/login?next=/library", {"Cookie": session})) == "/library"


@pytest.mark.parametrize(
    "place",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/auth/logout", "", "/login"],
)
async def test_the_login_leads_to_pages_of_its_own_only(side: Side, place: str) -> None:
    assert led_to(await ask(side, "POST", "/login", {}, data={**ADMIN, "next": place})) == "/dashboard"
    assert 'name="next" value="/dashboard"' in text(await ask(side, "GET", "/login", {}, params={"next": place}), 200)


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({**ADMIN, "password": "wrong"}, 401, "Invalid credentials"),
        ({**ADMIN, "username": SCRIPT}, 401, "Invalid credentials"),
        ({"username": "admin"}, 400, "Send a credential of Google, or username and password"),
        ({"credential": "x.y.z"}, 401, "Google login is not set up on this server"),
    ],
)
async def test_who_is_not_let_in_sees_the_form_again(
    side: Side, fields: dict[str, str], status: int, message: str
) -> None:
    answer = await ask(side, "POST", "/login", {}, data=fields)
    page = text(answer, status)
    assert message in page
    assert "set-cookie" not in answer.headers
    assert SCRIPT not in page
    assert f'value="{fields.get("username", "")}"'.replace(SCRIPT, "") in unescape(page).replace(SCRIPT, "")
    assert "wrong" not in page.replace("has gone wrong", "")


async def test_a_login_from_a_page_elsewhere_is_refused(side: Side) -> None:
    answer = await ask(side, "POST", "/login", {"Origin": "https://evil.example"}, data=ADMIN)
    assert "The request comes from a page of another site." in text(answer, 403)
    assert "set-cookie" not in answer.headers


async def test_forms_of_other_kinds_are_refused(side: Side) -> None:
    assert (await ask(side, "POST", "/login", {}, json=ADMIN)).status_code == 400
    twice = "username=admin&username=admin&password=x"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for content in (twice, "a=" + "b" * 40_000, "username=%FF&password=x", "&".join(f"a{n}=" for n in range(99))):
        text(await ask(side, "POST", "/login", kind, content=content), 400)


async def test_guessing_is_slowed_down_across_form_and_api(side: Side) -> None:
    for number in range(10):
        path = "/login" if number % 2 else "/auth/login"
        wrong = {**ADMIN, "password": f"{number}"}
        await ask(side, "POST", path, {}, **({"data": wrong} if number % 2 else {"json": wrong}))
    answer = await ask(side, "POST", "/login", {}, data=ADMIN)
    assert "Too many requests" in text(answer, 429)
    assert int(answer.headers["retry-after"]) > 0


async def test_a_form_becomes_a_generation_and_leads_to_its_page(side: Side) -> None:
    answer = await send(side, {"model": "flux", "prompt": "a lighthouse", "size": "512x512", "seed": ""})
    (command,) = commands(side, SubmitJob)
    assert led_to(answer) == f"/generation/{request_id(command.job)}"
    assert command.model == "flux"
    assert command.params["size"] == "512x512"
    assert command.client_waits_until_ms is None


async def test_a_form_sent_twice_is_one_generation(side: Side) -> None:
    fields = {"model": "flux", "prompt": "a lighthouse"}
    for query in ("?key=form_one", "?key=form_one", "?key=form_two"):
        led_to(await send(side, fields, query))
    keys = [envelope.idempotency.key for envelope in side.decider.envelopes if envelope.idempotency]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("fields", "files", "field", "message"),
    [
        ({"model": "flux", "prompt": " "}, {}, "prompt", "Prompt is required for this model"),
        ({"model": "flux", "prompt": "x" * 4001}, {}, "prompt", "This must have at most 4000 characters."),
        ({"model": "flux", "prompt": "x", "seed": "-1"}, {}, "seed", "This must be from 0 to 2147483647."),
        ({"model": "stable_video", "prompt": "left"}, {}, "image", "Image is required for this model"),
        ({"model": "flux_pro", "prompt": "x"}, {"image": PICTURE}, "mask", "Mask is required for this model"),
        ({"model": "stable_video"}, {"image": b"GIF89a"}, "image", "Image must be a JPEG, PNG, WebP or HEIC image"),
        ({"model": "stable_diffusion", "prompt": "x", "strength": "x"}, {"image": PICTURE}, "strength", "integer"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field_and_texts_are_kept(
    side: Side, fields: dict[str, str], files: dict[str, bytes], field: str, message: str
) -> None:
    page = unescape(text(await send(side, fields, "?key=one", **files), 400))
    found = re.search(rf'<p class="error" id="field-{field}-error">(.*?)</p>', page)
    assert found is not None, page
    assert message in found[1]
    assert re.search(
        rf'id="field-{field}"[^>]*aria-describedby="[^"]*field-{field}-error"[^>]*aria-invalid="true"', page
    )
    assert f'<a href="#field-{field}">' in page
    assert f'<input type="hidden" name="model" value="{fields["model"]}">' in page
    assert fields.get("prompt", "") in page
    assert "key=one" not in page, "another sending is another request"
    assert commands(side, SubmitJob) == []
    assert stored_keys(side.objects) == []


async def test_what_was_typed_is_escaped(side: Side) -> None:
    answer = await send(side, {"model": "flux", "prompt": SCRIPT, "seed": f'"{SCRIPT}'})
    page = text(answer, 400)
    assert SCRIPT not in page
    assert page.count("&lt;script&gt;") >= 2


async def test_an_unknown_model_gets_the_first_form(side: Side) -> None:
    page = text(await send(side, {"model": SCRIPT, "prompt": "a lighthouse"}), 400)
    assert "Invalid model selected." in page
    assert "a lighthouse" in page
    assert SCRIPT not in page


async def test_over_the_days_quota_the_texts_stay(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.QuotaExceeded("day", 50, 50, 1_800_100_000_000))]
    answer = await send(side, {"model": "flux", "prompt": "a lighthouse"})
    page = text(answer, 429)
    assert "Maximum 50 generations per day reached; try again later." in page
    assert "Nothing was counted" in page
    assert "a lighthouse" in page
    assert int(answer.headers["retry-after"]) > 0


async def test_after_an_unknown_outcome_the_form_goes_out_under_its_key_again(side: Side) -> None:
    side.decider.fault = OutcomeUnknown("away")
    page = unescape(text(await send(side, {"model": "flux", "prompt": "a lighthouse"}, "?key=form_one"), 503))
    assert "key=form_one" in page
    assert "it is not made twice" in page
    assert "Nothing was counted" not in page


async def test_a_form_sent_again_with_other_content_gets_a_new_key(side: Side) -> None:
    side.decider.script = lambda _: [Refused(no.IdempotencyMismatch("job_x"))]
    page = text(await send(side, {"model": "flux", "prompt": "a lighthouse"}, "?key=form_one"), 409)
    assert "This form was sent before with other content." in page
    assert "form_one" not in page


async def test_a_bad_key_is_named(side: Side) -> None:
    for key in ("a" * 101, "%20", "%C3%A9"):
        assert (await send(side, {"model": "flux", "prompt": "x"}, f"?key={key}")).status_code == 400
    assert commands(side, SubmitJob) == []


async def test_forms_from_pages_elsewhere_are_refused(side: Side) -> None:
    has_result(side, 7)
    elsewhere = cookie(side) | {"Origin": "https://evil.example"}
    fields = {"model": (None, "flux"), "prompt": (None, "x")}
    text(await ask(side, "POST", "/dashboard", elsewhere, files=fields), 403)
    text(await ask(side, "POST", "/asset/7/delete", elsewhere), 403)
    assert commands(side) == []


async def test_deletion_leads_to_the_library(side: Side) -> None:
    asset = has_result(side, 7)
    assert led_to(await ask(side, "POST", "/asset/7/delete")) == "/library?deleted=7"
    assert deleted(side) == [asset]


@pytest.mark.parametrize("number", ["8", "0", "x", "007", str(1 << 70)])
async def test_what_is_not_there_cannot_be_deleted(side: Side, number: str) -> None:
    has_result(side, 7)
    has_result(side, 8, account="acct_other")
    assert "Asset not found." in text(await ask(side, "POST", f"/asset/{number}/delete"), 404)
    assert commands(side) == []


async def test_what_forms_change_counts_as_the_apis_changes(tmp_path: Path) -> None:
    limits = LimitSettings(amounts={"studio-requests": 2})
    async with open_studio(tmp_path, limits=limits) as side:
        for _ in range(2):
            await ask(side, "POST", "/asset/7/delete")
        assert "Too many requests" in text(await ask(side, "POST", "/asset/7/delete"), 429)
        for _ in range(3):
            assert (await ask(side, "GET", "/login", {})).status_code == 200


async def test_paths_of_pages_tell_what_is_not_there_as_pages(side: Side) -> None:
    assert "Not found." in text(await ask(side, "GET", "/asset/7/sold"), 404)
    assert "This method is not possible here." in text(await ask(side, "PUT", "/login"), 405)
