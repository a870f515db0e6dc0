"""Document 004: its pages against the running stack, as a browser without JavaScript goes its way."""

from __future__ import annotations

import asyncio
import re
import time
from html import unescape
from typing import Any

import httpx
import pytest

from infra.local.layout import Layout
from tests.contracts.studio_client import PATIENCE_S, Clients, Person, photograph
from tests.pages import Page, page_of
from tests.stack import Stack

SCRIPT = "<script>alert('x')</script> mountains"


class Browser:
    """Follows links and sends forms as browsers do: cookies kept, the page's own origin named, redirects followed."""

    def __init__(self, stack: Stack, client: httpx.AsyncClient, cookie: str = "") -> None:
        self.stack, self.client = stack, client
        client.follow_redirects = True
        client.headers.update({"Origin": stack.url, "Sec-Fetch-Site": "same-origin"})
        if cookie:
            client.cookies.set("session", cookie, domain="127.0.0.1")
        self.page, self.path = Page.__new__(Page), ""

    async def go(self, path: str, status: int = 200) -> Page:
        """Open the path; a page that is not up to date yet is loaded again, as it says itself."""
        return await self._shown(await self.client.get(path), status)

    async def send(self, action: str, fields: dict[str, str], status: int = 200, **files: Any) -> Page:
        """Send one of the page's forms, with its hidden fields."""
        *_, form = [named for named in self.page.all("form") if named["action"].split("?")[0] == action]
        hidden = {named["name"]: named["value"] for named in self.page.all("input") if named.get("type") == "hidden"}
        texts = {**hidden, **fields}
        if form.get("enctype") == "multipart/form-data":
            parts: dict[str, Any] = {name: (None, value) for name, value in texts.items()}
            parts |= {name: (f"{name}.jpg", content, "image/jpeg") for name, content in files.items()}
            answer = await self.client.post(form["action"], files=parts)
        else:
            answer = await self.client.post(form["action"], data=texts)
        return await self._shown(answer, status)

    async def wait_for_result(self) -> Page:
        """Load the page of a generation again as it asks for, until it leads to the result."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.path.startswith("/asset/"):
            assert time.monotonic() < deadline, self.page.text
            seconds = re.search(r'http-equiv="refresh" content="(\d+)"', self.page.text)
            assert seconds is not None, self.page.text
            await asyncio.sleep(int(seconds[1]))
            await self.go(self.path)
        return self.page

    async def _shown(self, answer: httpx.Response, status: int) -> Page:
        deadline = time.monotonic() + PATIENCE_S
        while answer.status_code == 503 and answer.request.method == "GET" and time.monotonic() < deadline:
            assert 'http-equiv="refresh"' in answer.text
            await asyncio.sleep(1)
            answer = await self.client.get(answer.url)
        self.page = page_of(answer, status)
        self.path = answer.url.raw_path.decode()
        return self.page


@pytest.fixture
def browser(stack: Stack, http: Clients) -> Browser:
    """Somebody new, logged in."""
    return Browser(stack, http(), Person(stack, http).token)


def tiles(page: Page) -> list[str]:
    return [named["href"] for named in page.all("a") if named.get("class") == "tile"]


@pytest.mark.contract("004", "GET /library", "Authentication")
async def test_the_administrator_logs_in_makes_a_picture_and_deletes_it(stack: Stack, http: Clients) -> None:
    browser = Browser(stack, http())
    await browser.go("/library?sort=oldest")
    assert browser.path.startswith("/login?next=")
    await browser.send("/login", {"username": "admin", "password": "wrong"}, 401)
    assert "Invalid credentials." in browser.page.text
    password = (Layout(stack.data).secrets / "admin-password").read_text().strip()
    await browser.send("/login", {"username": "admin", "password": password})
    assert browser.path == "/library?sort=oldest"
    await browser.go("/dashboard")
    await browser.send("/dashboard", {"prompt": SCRIPT, "size": "512x512"})
    page = await browser.wait_for_result()
    assert SCRIPT not in page.text
    assert SCRIPT in unescape(page.text)
    picture = browser.path
    answer = await browser.client.get(f"{picture}/download")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "image/png"
    shown = await browser.client.get(page.all("img")[0]["src"])
    assert shown.content == answer.content
    assert picture in tiles(await browser.go("/library"))
    await browser.go(f"{picture}/delete")
    await browser.send(f"{picture}/delete", {})
    assert "has been deleted." in browser.page.text
    assert picture not in tiles(browser.page)
    assert "Asset not found." in (await browser.go(picture, 404)).text
    await browser.go("/auth/logout")
    assert browser.path == "/login"
    await browser.go("/dashboard")
    assert browser.path.startswith("/login"), "the session counts no more"


@pytest.mark.contract("004", "GET /library", "Query Parameters")
async def test_the_library_filters_and_sorts(browser: Browser) -> None:
    wanted: list[tuple[str, dict[str, str], dict[str, Any]]] = [
        ("flux", {"prompt": "a forest", "size": "512x512"}, {}),
        ("stable_video", {"prompt": "left", "seconds": "2"}, {"image": photograph()}),
        ("recraft", {"prompt": "a city", "size": "512x512"}, {}),
    ]
    for model, fields, files in wanted:
        await browser.go(f"/dashboard?model={model}")
        await browser.send("/dashboard", fields, 200, **files)
        await browser.wait_for_result()
    newest = tiles(await browser.go("/library"))
    assert len(newest) == 3
    assert tiles(await browser.go("/library?type=all&sort=oldest")) == newest[::-1]
    assert tiles(await browser.go("/library?type=image")) == [newest[0], newest[2]]
    assert tiles(await browser.go("/library?type=video&sort=newest")) == [newest[1]]
    await browser.go(newest[1])
    (video,) = browser.page.all("video")
    still = await browser.client.get(video["poster"])
    film = await browser.client.get(video["src"])
    assert (still.headers["content-type"], film.headers["content-type"]) == ("image/jpeg", "video/mp4")


@pytest.mark.contract("004", "GET /library", "Error Codes")
async def test_bad_parameters_of_the_library_are_named(browser: Browser) -> None:
    assert "type: This must be one of all, image or video." in (await browser.go("/library?type=audio", 400)).text
    assert "sort: This must be one of newest or oldest." in (await browser.go("/library?sort=size", 400)).text


@pytest.mark.contract("004", "GET /asset/{asset_id}", "Parameters")
async def test_assets_of_others_and_of_nobody_are_not_found(stack: Stack, http: Clients, browser: Browser) -> None:
    await browser.go("/dashboard")
    await browser.send("/dashboard", {"prompt": "a lighthouse", "size": "512x512"})
    await browser.wait_for_result()
    stranger = Browser(stack, http(), Person(stack, http).token)
    for path in (browser.path, "/asset/999999", "/asset/x"):
        assert "Asset not found." in (await stranger.go(path, 404)).text


@pytest.mark.contract("004", "POST /api/generate", "Parameters")
async def test_what_is_wrong_with_the_form_is_told_beside_its_field(browser: Browser) -> None:
    await browser.go("/dashboard?model=stable_video")
    page = await browser.send("/dashboard", {"prompt": "zoom in"}, 400)
    assert '<p class="error" id="field-image-error">Image is required for this model</p>' in page.text
    assert "zoom in" in page.text
    await browser.send("/dashboard", {"prompt": "zoom in", "seconds": "2"}, image=photograph())
    await browser.wait_for_result()


@pytest.mark.contract("004", "GET /dashboard", "Rate Limiting")
async def test_pages_do_not_use_up_the_requests_of_an_hour(browser: Browser) -> None:
    for _ in range(60):
        answer = await browser.client.get("/static/pages/studio.css")
        assert answer.status_code == 200
        assert "ratelimit-limit" not in (await browser.client.get("/library")).headers
    before = await browser.client.get("/api/model-info/flux")
    assert before.headers["ratelimit-remaining"] == "99"
    await browser.go("/dashboard")
    assert "<strong>50</strong> of 50 generations left" in browser.page.text
