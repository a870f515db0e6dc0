"""Bad input at each native entry point: a 4xx problem document that names the field, and nothing is charged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from tests.client import Client, problem
from tests.pictures import encoded, scene

JOB = "job_" + "a" * 26
UNKNOWN_ASSET = "asset_" + "a" * 26


class Bad(NamedTuple):
    """A request, the statuses that answer it, and the field that the answer must name."""

    name: str
    method: str
    path: str
    statuses: tuple[int, ...]
    field: str | None = None
    json: object = None
    content: bytes | None = None
    headers: Mapping[str, str] = {}


def submit(name: str, field: str | None, body: object, *statuses: int, **headers: str) -> Bad:
    named = {header.replace("_", "-"): value for header, value in headers.items()}
    return Bad(name, "POST", "/v1/jobs", statuses or (400,), field, json=body, headers=named)


def raw(name: str, content: bytes, *statuses: int, kind: str = "application/json", field: str | None = None) -> Bad:
    headers = {"Content-Type": kind}
    return Bad(name, "POST", "/v1/jobs", statuses or (400,), field, content=content, headers=headers)


def get(name: str, path: str, field: str | None, *statuses: int) -> Bad:
    return Bad(name, "GET", path, statuses or (400,), field)


ECHO = {"model": "sandbox/echo"}
UPSCALE = {"model": "classical/upscale"}
ASSET = {"asset": UNKNOWN_ASSET}

SUBMITS = [
    submit("no model", "model", {}),
    submit("model is a number", "model", {"model": 7}),
    submit("model is null", "model", {"model": None}),
    submit("model is unknown", "model", {"model": "classical/nothing"}),
    submit("model is empty", "model", {"model": ""}),
    submit("unknown member", "modle", {**ECHO, "modle": "x"}),
    submit("params is a list", "params", {**ECHO, "params": []}),
    submit("unknown parameter", "params.colour", {**ECHO, "params": {"colour": 1}}),
    submit("parameter of the wrong type", "params.seed", {**ECHO, "params": {"seed": "1"}}),
    submit("parameter is a fraction", "params.seed", {**ECHO, "params": {"seed": 1.5}}),
    submit("parameter is true", "params.seed", {**ECHO, "params": {"seed": True}}),
    submit("parameter is null", "params.seed", {**ECHO, "params": {"seed": None}}),
    submit("parameter is an object", "params.seed", {**ECHO, "params": {"seed": {}}}),
    submit("parameter below its range", "params.seed", {**ECHO, "params": {"seed": -1}}),
    submit("parameter above its range", "params.seed", {**ECHO, "params": {"seed": 256}}),
    submit("parameter beyond 64 bits", "params.seed", {**ECHO, "params": {"seed": 1 << 70}}),
    submit("parameter not among the choices", "params.scale", {**UPSCALE, "params": {"scale": 3}, "input": ASSET}),
    submit("a picture where none is taken", "input", {**ECHO, "input": ASSET}),
    submit("no picture where one is needed", "input", UPSCALE),
    submit("input is a text", "input", {**UPSCALE, "input": UNKNOWN_ASSET}),
    submit("input is empty", "input", {**UPSCALE, "input": {}}),
    submit("asset is unknown", "input.asset", {**UPSCALE, "input": ASSET}, 400, 404),
    submit("asset is no id", "input.asset", {**UPSCALE, "input": {"asset": "../../etc"}}, 400, 404),
    submit("asset is a number", "input.asset", {**UPSCALE, "input": {"asset": 7}}),
    submit("metadata is a text", "metadata", {**ECHO, "metadata": "x"}),
    submit("metadata is too large", "metadata", {**ECHO, "metadata": {"note": "x" * 5000}}),
    submit("body is a list", None, []),
    submit("key is empty", "Idempotency-Key", ECHO, Idempotency_Key=""),
    submit("key is too long", "Idempotency-Key", ECHO, Idempotency_Key="k" * 300),
    submit("wait is no number", "Prefer", ECHO, Prefer="wait=soon"),
    submit("wait is negative", "Prefer", ECHO, Prefer="wait=-1"),
    raw("body is no JSON", b"{not json"),
    raw("body is empty", b""),
    raw("body is no UTF-8", b'{"model": "\xff"}'),
    raw("body is nested deeply", b'{"model": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    raw("body is too large", json.dumps({**ECHO, "metadata": {"n": "x" * 400_000}}).encode(), 413),
    raw("body is of another type", b"model=sandbox/echo", 415, kind="application/x-www-form-urlencoded"),
]

OTHERS = [
    Bad("cancel of an unknown job", "POST", f"/v1/jobs/{JOB}:cancel", (404,)),
    Bad("cancel of no id", "POST", "/v1/jobs/nonsense:cancel", (404,)),
    Bad("delete of a job", "DELETE", f"/v1/jobs/{JOB}", (405,)),
    get("an unknown job", f"/v1/jobs/{JOB}", None, 404),
    get("no job id", "/v1/jobs/..%2f..%2fetc", None, 404),
    get("events of an unknown job", f"/v1/jobs/{JOB}/events", None, 404),
    get("an unknown asset", f"/v1/assets/{UNKNOWN_ASSET}", None, 404),
    get("limit of zero", "/v1/jobs?limit=0", "limit"),
    get("limit too large", "/v1/jobs?limit=1001", "limit"),
    get("limit is no number", "/v1/jobs?limit=many", "limit"),
    get("unknown status", "/v1/jobs?status=asleep", "status"),
    get("unreadable cursor", "/v1/jobs?cursor=%00%ff", "cursor"),
    get("cursor of somewhere else", "/v1/jobs?cursor=bm90aGluZw", "cursor"),
    get("limit of the ledger", "/v1/ledger?limit=-1", "limit"),
    get("cursor of the ledger", "/v1/ledger?cursor=zzz", "cursor"),
    get("no such place", "/v1/nothing", None, 404),
    Bad("grant by a user", "POST", "/v1/accounts/darkroom:x:grant", (403,), json={"amount": 5}),
]


@pytest.mark.parametrize("bad", SUBMITS + OTHERS, ids=lambda bad: bad.name)
async def test_bad_requests_are_refused_by_name_and_charge_nothing(user: Client, bad: Bad) -> None:
    answer = await user.http.request(
        bad.method, bad.path, json=bad.json, content=bad.content, headers=dict(bad.headers)
    )
    assert answer.status_code in bad.statuses, f"{answer.status_code} {answer.text}"
    problem(answer, answer.status_code, bad.field)
    account = await user.account()
    assert (account["balance"], account["reserved"]) == (20, 0)
    assert await user.jobs() == []


GRANTS: list[tuple[str, object, str | None]] = [
    ("no amount", {}, "amount"),
    ("a text", {"amount": "5"}, "amount"),
    ("a fraction", {"amount": 1.5}, "amount"),
    ("true", {"amount": True}, "amount"),
    ("nothing", {"amount": 0}, "amount"),
    ("beyond 64 bits", {"amount": 1 << 80}, "amount"),
    ("a list", [], None),
]


@pytest.mark.parametrize(("name", "body", "field"), GRANTS, ids=[name for name, _, _ in GRANTS])
async def test_bad_grants_add_nothing(user: Client, name: str, body: object, field: str | None) -> None:
    async with Client(user.stack, "operator", role="admin") as operator:
        problem(await operator.http.post(f"/v1/accounts/{user.name}:grant", json=body), 400, field)
    assert (await user.account())["balance"] == 20


async def test_a_grant_below_zero_is_refused(user: Client) -> None:
    async with Client(user.stack, "operator", role="admin") as operator:
        answer = await operator.http.post(f"/v1/accounts/{user.name}:grant", json={"amount": -21})
        assert answer.status_code in (400, 409, 422)
        problem(answer, answer.status_code, "amount")
    assert (await user.account())["balance"] == 20


HUGE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00\x00\xff\xff" * 2 + b"\x08\x02\x00\x00\x00" + bytes(64)

PICTURES: list[tuple[str, bytes, tuple[int, ...]]] = [
    ("empty", b"", (400,)),
    ("text", b"this is no picture", (400, 415)),
    ("gif", encoded(scene(8, 8), "GIF"), (400, 415)),
    ("bmp", encoded(scene(8, 8), "BMP"), (400, 415)),
    ("jpeg cut in its header", encoded(scene(64, 64))[:20], (400, 415)),
    ("png cut in its header", encoded(scene(64, 64), "PNG")[:20], (400, 415)),
    ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", (400, 415)),
    ("too large", encoded(scene(32, 32)) + bytes(10 << 20), (413,)),
    ("too many pixels", HUGE, (400, 413)),
]


@pytest.mark.parametrize(("name", "content", "statuses"), PICTURES, ids=[name for name, _, _ in PICTURES])
async def test_bad_pictures_become_no_asset(user: Client, name: str, content: bytes, statuses: tuple[int, ...]) -> None:
    answer = await user.upload(content, name=name)
    assert answer.status_code in statuses, f"{answer.status_code} {answer.text}"
    problem(answer, answer.status_code, "file")


async def test_bad_uploads_are_refused(user: Client) -> None:
    picture = encoded(scene(16, 16))
    for files in ({"picture": ("a.jpg", picture)}, [("file", ("a.jpg", picture)), ("file", ("b.jpg", picture))]):
        answer = await user.http.post("/v1/assets", files=files)
        problem(answer, 400, "file")
    answer = await user.http.post("/v1/assets", json={"file": "x"})
    problem(answer, answer.status_code)
    assert answer.status_code in (400, 415)
    kind = {"Content-Type": "multipart/form-data"}
    answer = await user.http.post("/v1/assets", content=b"--x\r\n", headers=kind)
    assert answer.status_code in (400, 415)
    problem(answer, answer.status_code)


async def test_a_picture_whose_pixels_are_broken_fails_its_job_and_charges_nothing(user: Client) -> None:
    whole = encoded(scene(64, 64), "PNG")
    broken = whole[: len(whole) // 2]
    answer = await user.upload(broken, name="broken.png")
    if answer.is_success:
        job = await user.submit("classical/upscale", {"scale": 2}, asset=answer.json()["id"], prefer="wait=30")
        assert (job.status_code, job.json()["status"]) == (200, "failed")
        assert job.json()["error"]["code"] == "input-undecodable"
    else:
        problem(answer, answer.status_code, "file")
    assert (await user.account())["balance"] == 20


TOKENS = {
    "none": "",
    "another scheme": "Basic dXNlcjpwYXNz",
    "no token": "Bearer",
    "nonsense": "Bearer abc.def.ghi",
    "unsigned": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwicHJvZHVjdCI6ImRhcmtyb29tIn0.",
}


@pytest.mark.parametrize("name", TOKENS)
async def test_without_a_good_token_nothing_is_told(user: Client, name: str) -> None:
    for method, path in (("GET", "/v1/account"), ("POST", "/v1/jobs"), ("POST", "/v1/assets"), ("GET", "/v1/jobs")):
        answer = await user.http.request(method, path, headers={"Authorization": TOKENS[name]})
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
