"""Document 004: results downloaded, shown and deleted; models; sessions; limits; against the running stack."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.layout import Layout
from schemas.wire.studio_documents import (
    ClearedAnswer,
    DeletedAnswer,
    LoginAnswer,
    ModelInfoAnswer,
    SuccessAnswer,
)
from schemas.wire.studio_errors import LoginErrorAnswer
from tests.contracts.studio_client import SMALL, Clients, Person, change_error, error, photograph, told
from tests.stack import Stack
from tests.unit.http.google_keys import GOOD, token

DOWNLOAD, DELETE = "GET /asset/{asset_id}/download", "DELETE /api/assets/{asset_id}"
LOGIN, LOGOUT = "POST /auth/login", "GET /auth/logout"
DELETE_IMAGE, CLEAR = "POST /api/delete-image", "POST /api/clear-generation-state"
MODEL_INFO = "GET /api/model-info/{model_id}"
IMAGE = {"prompt": "a harbour in the morning", "model": "recraft", **SMALL}


@pytest.fixture
def person(stack: Stack, http: Clients) -> Person:
    return Person(stack, http)


@pytest.mark.contract("004", DOWNLOAD, "Response: binary file download")
async def test_a_download_has_its_name_type_ranges_and_etag(person: Person) -> None:
    result = await person.made(IMAGE)
    answer = await person.get(f"/asset/{result['id']}/download")
    name = f"img_{result['id']}.png"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{name}"')
    assert answer.content == (await person.get(result["url"])).content
    part = await person.get(f"/asset/{result['id']}/download", Range="bytes=5-9")
    assert (part.status_code, part.content) == (206, answer.content[5:10])
    same = await person.get(f"/asset/{result['id']}/download", If_None_Match=answer.headers["etag"])
    assert same.status_code == 304


@pytest.mark.contract("004", DOWNLOAD, "Video and its file name")
async def test_a_video_is_downloaded_as_one(person: Person) -> None:
    result = await person.made({"model": "stable_video", "seconds": "2"}, image=photograph())
    answer = await person.get(f"/asset/{result['id']}/download")
    assert answer.headers["content-type"] == "video/mp4"
    assert f'filename="video_{result["id"]}.mp4"' in answer.headers["content-disposition"]
    assert answer.content[4:8] == b"ftyp"


@pytest.mark.contract("004", DOWNLOAD, "Error Codes: 401 and 404")
async def test_downloads_are_ones_own(person: Person, stack: Stack, http: Clients) -> None:
    result = await person.made(IMAGE)
    stranger = Person(stack, http)
    for path, text in ((f"/asset/{result['id']}/download", "Asset not found"), (result["url"], "File not found")):
        assert error(await person.visitor.get(path), 401) == "Not logged in"
        assert error(await stranger.get(path), 404) == text
    assert error(await person.get("/asset/99999/download"), 404) == "Asset not found"
    assert error(await person.get("/asset/x/download"), 404) == "Asset not found"


@pytest.mark.contract("004", DELETE, "Success Response")
async def test_a_deleted_asset_is_gone_at_once(person: Person) -> None:
    result = await person.made(IMAGE)
    document = told(await person.ask("DELETE", f"/api/assets/{result['id']}"), DeletedAnswer)
    assert document == {"success": True, "message": "Asset deleted successfully"}
    error(await person.get(result["url"]), 404)
    error(await person.get(f"/asset/{result['id']}/download"), 404)
    again = await person.ask("DELETE", f"/api/assets/{result['id']}")
    assert change_error(again, 404) == "Asset not found"


@pytest.mark.contract("004", DELETE, "Error Response")
async def test_what_is_not_ones_own_is_not_found(person: Person, stack: Stack, http: Clients) -> None:
    result = await person.made(IMAGE)
    stranger = Person(stack, http)
    for one, number in ((stranger, result["id"]), (person, 99_999), (person, "abc"), (person, 0)):
        answer = await one.ask("DELETE", f"/api/assets/{number}")
        assert change_error(answer, 404) == "Asset not found"
    assert (await person.get(result["url"])).status_code == 200
    assert change_error(await person.visitor.delete(f"/api/assets/{result['id']}"), 401) == "Not logged in"


@pytest.mark.contract("004", DELETE_IMAGE, "Response")
async def test_an_image_is_deleted_by_its_url(person: Person) -> None:
    result = await person.made(IMAGE)
    document = told(await person.ask("POST", "/api/delete-image", json={"url": result["url"]}), SuccessAnswer)
    assert document == {"success": True}
    error(await person.get(result["url"]), 404)


@pytest.mark.contract("004", DELETE_IMAGE, "Error Codes")
async def test_only_urls_of_ones_own_images_delete(person: Person, stack: Stack, http: Clients) -> None:
    result = await person.made(IMAGE)
    stranger = Person(stack, http)
    answer = await stranger.ask("POST", "/api/delete-image", json={"url": result["url"]})
    assert change_error(answer, 404) == "Image not found"
    for url in (stack.url + result["url"], result["url"] + "?x", "/etc/passwd"):
        answer = await person.ask("POST", "/api/delete-image", json={"url": url})
        assert change_error(answer, 400) == "Invalid image URL"
    change_error(await person.ask("POST", "/api/delete-image", json={}), 400)
    assert (await person.get(result["url"])).status_code == 200


@pytest.mark.contract("004", CLEAR, "Response")
async def test_the_generation_state_is_cleared(person: Person) -> None:
    answer = await person.ask("POST", "/api/clear-generation-state")
    assert told(answer, ClearedAnswer) == {"success": True, "message": "Generation state cleared successfully"}
    change_error(await person.visitor.post("/api/clear-generation-state"), 401)


@pytest.mark.contract("004", MODEL_INFO, "Success Response")
async def test_models_are_explained(person: Person) -> None:
    document = told(await person.get("/api/model-info/flux"), ModelInfoAnswer)
    assert document["name"] == "FLUX.1 [dev]"
    assert list(document["info"]) == ["what_is", "use_cases", "tips"]
    for model in ("recraft", "stable_diffusion", "stable_video", "flux_pro"):
        told(await person.get(f"/api/model-info/{model}"), ModelInfoAnswer)


@pytest.mark.contract("004", MODEL_INFO, "Error Response")
async def test_an_unknown_model_id_is_invalid(person: Person) -> None:
    assert error(await person.get("/api/model-info/midjourney"), 404) == "Invalid model ID"
    assert error(await person.visitor.get("/api/model-info/flux"), 401) == "Not logged in"


def password(stack: Stack) -> str:
    """The administrator's, as the first start made it."""
    path: Path = Layout(stack.data).secrets / "admin-password"
    return path.read_text().strip()


def session_of(answer: httpx.Response) -> dict[str, str]:
    """The headers of a browser that got the answer's cookie."""
    (cookie,) = [text for text in answer.headers.get_list("set-cookie") if text.startswith("session=")]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    return {"Cookie": cookie.split(";")[0]}


@pytest.mark.contract("004", LOGIN, "Response: admin credentials")
async def test_the_administrator_logs_in_and_out(stack: Stack, http: Clients) -> None:
    client = http()
    answer = await client.post("/auth/login", json={"username": "admin", "password": password(stack)})
    assert told(answer, LoginAnswer) == {"success": True, "redirect_url": "/dashboard"}
    browser = session_of(answer)
    client.cookies.clear()
    assert (await client.get("/api/model-info/flux", headers=browser)).status_code == 200
    left = await client.get("/auth/logout", headers=browser)
    assert (left.status_code, left.headers["location"]) == (302, "/login")
    client.cookies.clear()
    error(await client.get("/api/model-info/flux", headers=browser), 401)


@pytest.mark.contract("004", LOGIN, "Response: Google credential")
async def test_a_user_of_google_logs_in(stack: Stack, http: Clients) -> None:
    client, now_s = http(), int(time.time())
    answer = await client.post("/auth/login", json={"credential": token(iat=now_s, exp=now_s + 600)})
    told(answer, LoginAnswer)
    browser = session_of(answer)
    client.cookies.clear()
    told(await client.get("/api/model-info/flux", headers=browser), ModelInfoAnswer)
    same = Person(stack, http, f"google:{GOOD['sub']}")
    answer = await client.post("/api/clear-generation-state", headers=browser)
    ours = await same.ask("POST", "/api/clear-generation-state")
    remaining = [int(one.headers["ratelimit-remaining"]) for one in (answer, ours)]
    assert remaining[0] - remaining[1] == 1, "it is the account of `google:<sub>`"


@pytest.mark.contract("004", LOGIN, "Error Response")
@pytest.mark.parametrize(
    "body",
    [
        {"username": "admin", "password": "wrong"},
        {"username": "nobody", "password": "wrong"},
        {"credential": "google_oauth_token"},
        {"credential": token(iat=1, exp=2)},
    ],
)
async def test_invalid_credentials_are_401(http: Clients, body: dict[str, str]) -> None:
    answer = await http().post("/auth/login", json=body)
    assert told(answer, LoginErrorAnswer, 401) == {"success": False, "message": "Invalid credentials"}


@pytest.mark.contract("004", LOGIN, "Error Codes: 400")
async def test_a_login_without_credentials_is_400(http: Clients) -> None:
    client = http()
    bodies: tuple[Any, ...] = ({}, {"username": "admin"}, {"credential": 5}, [])
    for body in bodies:
        told(await client.post("/auth/login", json=body), LoginErrorAnswer, 400)


@pytest.mark.contract("004", LOGIN, "Logins a minute from an address")
async def test_guessing_is_slow(http: Clients) -> None:
    client = http()
    answers = [await client.post("/auth/login", json={"credential": "x"}) for _ in range(11)]
    assert [one.status_code for one in answers] == [401] * 10 + [429]
    told(answers[-1], LoginErrorAnswer, 429)
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


@pytest.mark.contract("004", LOGOUT, "Response: redirects to login page")
async def test_logout_redirects_and_a_foreign_link_ends_nothing(person: Person) -> None:
    foreign = await person.get("/auth/logout", Sec_Fetch_Site="cross-site")
    assert (foreign.status_code, foreign.headers["location"]) == (302, "/login")
    told(await person.get("/api/model-info/flux"), ModelInfoAnswer)
    await person.get("/auth/logout", Sec_Fetch_Site="same-origin")
    error(await person.get("/api/model-info/flux"), 401)
    assert (await person.visitor.get("/auth/logout")).status_code == 302


@pytest.mark.contract("004", "all of /api", "Rate Limiting: 100 requests per hour per user")
async def test_a_hundred_requests_an_hour(person: Person) -> None:
    told(await person.get("/api/model-info/flux"), ModelInfoAnswer)
    for number in range(99):
        answer = await person.client.get("/api/model-info/flux")
        assert (answer.status_code, answer.headers["ratelimit-remaining"]) == (200, str(98 - number))
    answer = await person.client.get("/api/generation-status/req_x")
    assert error(answer, 429).startswith("Too many requests")
    assert 3500 < int(answer.headers["retry-after"]) <= 3600
    change_error(await person.client.delete("/api/assets/1"), 429)
    error(await person.get("/asset/1/download"), 404)
    error(await person.get("/static/generated/img_1.png"), 404)


@pytest.mark.contract("004", "POST /api/generate", "Rate Limiting: 50 generations per day per user")
async def test_fifty_generations_a_day(person: Person) -> None:
    bearer = {"Authorization": f"Bearer {person.token}"}
    jobs: list[Any] = [{"model": "recraft", "params": {"prompt": "x", **SMALL, "seed": seed}} for seed in range(50)]
    batch = await person.visitor.post("/v1/jobs:batch", json={"jobs": jobs}, headers=bearer)
    accepted = [one["job"]["id"] for one in batch.json()["results"]]
    assert len(accepted) == 50
    answer = await person.generate(IMAGE)
    assert error(answer, 429) == "Maximum 50 generations per day reached; try again later"
    assert 0 < int(answer.headers["retry-after"]) <= 86_400
    canceled = [await person.visitor.post(f"/v1/jobs/{job}:cancel", headers=bearer) for job in reversed(accepted)]
    assert {one.status_code for one in canceled} <= {200, 409}
