"""Document 004: its pages in a real browser, with JavaScript: what people see and do, by role and label.

Debian's chromium does it where there is one. Elsewhere the tests say that they were not run.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import BrowserContext, FilePayload, Page, Route, ViewportSize, async_playwright, expect

from infra.local.layout import Layout
from tests.contracts.conftest import fresh_address
from tests.contracts.studio_client import PATIENCE_S, photograph
from tests.stack import Stack
from tests.unit.http.google_keys import CLIENT, token

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = PATIENCE_S * 1000
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_GOOGLE = "https://accounts.google.com/**"
_BUTTON = """
window.google = { accounts: { id: {
  initialize(asked) { window.asked = asked; },
  renderButton(place) {
    const button = document.createElement("button");
    button.textContent = "Sign in with Google";
    button.addEventListener("click", () => window.asked.callback({ credential: CREDENTIAL }));
    place.append(button);
  },
} } };
"""
_NARROW: ViewportSize = {"width": 320, "height": 640}
_BROKEN_LAYOUT = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
_UNSEEN_FOCUS = """() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2;
}"""


def chromium() -> str | None:
    """Where the browser is."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@pytest.fixture
async def context(stack: Stack, tmp_path: Path) -> AsyncIterator[BrowserContext | None]:
    """A browser with a profile of its own; None, said aloud, where there is no browser."""
    path = chromium()
    if path is None:
        print("browser tests: not run, no chromium")
        yield None
        return
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=path,
            headless=True,
            args=_FLAGS,
            base_url=stack.url,
            viewport={"width": 1280, "height": 900},
            extra_http_headers={"X-Forwarded-For": fresh_address()},
        )
        opened.set_default_timeout(_PATIENCE_MS)
        expect.set_options(timeout=_PATIENCE_MS)
        await opened.route(_GOOGLE, _nothing)  # these tests ask nobody outside
        yield opened
        await opened.close()


async def _nothing(route: Route) -> None:
    await route.fulfill(content_type="text/javascript", body="")


async def opened_page(context: BrowserContext) -> tuple[Page, list[str]]:
    """The browser's page, and what its console complains of: an inline script that was blocked is told there."""
    page, complaints = await context.new_page(), list[str]()
    page.on("console", lambda said: complaints.append(f"{said.text} {said.location}") if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


async def log_in(page: Page, stack: Stack) -> None:
    await page.goto("/dashboard")
    await expect(page).to_have_title("Log in · Studio")
    await page.get_by_label("User name").fill("admin")
    await page.get_by_label("Password").fill((Layout(stack.data).secrets / "admin-password").read_text().strip())
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", level=1, name="Create")).to_be_visible()


async def create(page: Page, prompt: str) -> None:
    """Fill the form and wait until the browser has come to the result by itself."""
    await page.get_by_label("Prompt").fill(prompt)
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", level=1, name="On its way")).to_be_visible()
    await page.wait_for_url("**/asset/*")


@pytest.mark.contract("004", "GET /asset/{asset_id}", "Pages in a browser")
async def test_a_person_logs_in_creates_looks_downloads_and_deletes(
    stack: Stack, context: BrowserContext | None, tmp_path: Path
) -> None:
    if context is None:
        assert chromium() is None
        return
    page, complaints = await opened_page(context)
    await log_in(page, stack)
    await page.get_by_label("Size").select_option("512x512")
    await create(page, "<script>alert(1)</script> a quiet sea at night")
    picture = page.url
    await expect(page.get_by_role("img")).to_have_js_property("naturalWidth", 512)
    await page.goto("/dashboard")
    await page.get_by_role("link", name="Stable Video Diffusion").click()
    await page.get_by_label("Picture").set_input_files(
        {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photograph()}
    )
    await create(page, "zoom in")
    video = page.url
    await page.get_by_label("zoom in").evaluate("film => { film.muted = true; return film.play(); }")

    await page.get_by_role("link", name="Library").first.click()
    await page.get_by_role("link", name="Pictures").click()
    tiles = page.locator("a.tile")
    assert video not in [await tile.evaluate("link => link.href") for tile in await tiles.all()]
    await page.get_by_role("link", name="All", exact=True).click()
    assert await tiles.first.evaluate("link => link.href") == video
    await page.get_by_label("Order").select_option("oldest")
    await page.get_by_role("button", name="Show").click()
    await page.wait_for_url("**/library?sort=oldest")
    assert await tiles.last.evaluate("link => link.href") == video

    await page.goto(picture)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download").click()
    download = await downloading.value
    assert download.suggested_filename == f"img_{picture.rpartition('/')[2]}.png"
    await download.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as saved:
        assert saved.size == (512, 512)

    await page.get_by_role("link", name="Delete").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await page.get_by_role("link", name="Delete").click()
    await dialog.get_by_role("button", name="Delete it").click()
    await expect(page.get_by_role("status")).to_contain_text("has been deleted.")
    await page.wait_for_url(f"{stack.url}/library")  # what was said once is not said again
    assert complaints == []


@pytest.mark.contract("004", "GET /dashboard", "Pages in a browser")
async def test_pages_fit_a_narrow_screen_and_follow_the_keyboard(stack: Stack, context: BrowserContext | None) -> None:
    if context is None:
        assert chromium() is None
        return
    page, complaints = await opened_page(context)
    await log_in(page, stack)
    await page.set_viewport_size(_NARROW)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for path in ("/dashboard", "/dashboard?model=flux_pro", "/library", "/library?sort=oldest"):
            await page.goto(path)
            assert not await page.evaluate(_BROKEN_LAYOUT), path
    await page.goto("/dashboard")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to content"
    await page.keyboard.press("Enter")
    for _ in range(8):
        await page.keyboard.press("Tab")
        assert not await page.evaluate(_UNSEEN_FOCUS), await page.evaluate("document.activeElement.outerHTML")
    assert await page.evaluate("document.querySelector('main').contains(document.activeElement)")
    large: FilePayload = {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": bytes((10 << 20) + 1)}
    await page.goto("/dashboard?model=stable_video")
    await page.get_by_label("Picture").set_input_files(large)
    told = await page.get_by_label("Picture").evaluate("field => field.validationMessage")
    assert told == "This file is larger than 10 MB."
    assert complaints == []


@pytest.mark.contract("004", "POST /auth/login", "Pages in a browser")
async def test_a_user_of_google_logs_in_by_its_button(stack: Stack, context: BrowserContext | None) -> None:
    if context is None:
        assert chromium() is None
        return
    page, complaints = await opened_page(context)
    now_s = int(time.time())
    missing = page.get_by_text("Logging in with Google needs JavaScript and a connection to Google.")
    await page.goto("/login?next=/library")
    await expect(missing).to_be_visible()

    async def button(route: Route) -> None:
        body = _BUTTON.replace("CREDENTIAL", json.dumps(token(iat=now_s, exp=now_s + 600)))
        await route.fulfill(content_type="text/javascript", body=body)

    await context.route(_GOOGLE, button)
    await page.goto("/login?next=/library")
    await expect(missing).to_be_hidden()
    assert await page.evaluate("window.asked.client_id") == CLIENT
    await page.get_by_role("button", name="Sign in with Google").click()
    await expect(page.get_by_role("heading", level=1, name="Library")).to_be_visible()
    assert page.url == f"{stack.url}/library"
    assert complaints == []
