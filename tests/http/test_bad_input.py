"""Bad input at each native write path: a 4xx problem that names the field, and nothing on the log."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from tests.http.fakes import Side, decoded, stored_keys


def picture(width: int = 8, height: int = 6, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 40)).save(buffer, kind)
    return buffer.getvalue()


BODIES: list[tuple[Any, str]] = [
    ({}, "model"),
    ({"model": 7}, "model"),
    ({"model": ""}, "model"),
    ({"model": "nothing/here"}, "model"),
    ({"model": "sandbox/echo", "modle": 1}, "modle"),
    ({"model": "sandbox/echo", "params": []}, "params"),
    ({"model": "sandbox/echo", "params": {"colour": 1}}, "params.colour"),
    ({"model": "sandbox/echo", "params": {"seed": "1"}}, "params.seed"),
    ({"model": "sandbox/echo", "params": {"seed": 1.5}}, "params.seed"),
    ({"model": "sandbox/echo", "params": {"seed": True}}, "params.seed"),
    ({"model": "sandbox/echo", "params": {"seed": 256}}, "params.seed"),
    ({"model": "sandbox/echo", "input": {"asset": "asset_1"}}, "input"),
    ({"model": "classical/upscale"}, "input"),
    ({"model": "classical/upscale", "input": "asset_1"}, "input"),
    ({"model": "classical/upscale", "input": {}}, "input"),
    ({"model": "classical/upscale", "input": {"asset": ""}}, "input.asset"),
    ({"model": "classical/upscale", "input": {"asset": "asset_1", "url": "x"}}, "input.url"),
    ({"model": "classical/upscale", "input": {"asset": "asset_1"}, "params": {"scale": 3}}, "params.scale"),
    ({"model": "sandbox/echo", "metadata": "x"}, "metadata"),
    ({"model": "sandbox/echo", "metadata": {"x": "y" * 3000}}, "metadata"),
    ([], "body"),
    ("text", "body"),
]


def named(problem: dict[str, Any]) -> list[str]:
    return [error["field"] for error in problem["errors"]]


@pytest.mark.parametrize(("body", "field"), BODIES)
async def test_bad_submits_name_the_field_and_append_nothing(side: Side, body: Any, field: str) -> None:
    answer = await side.submit(body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert named(decoded(answer)) == [field]
    assert decoded(answer)["trace_id"] in answer.headers["traceparent"]
    assert side.decider.envelopes == []


@pytest.mark.parametrize(
    ("header", "value", "field"),
    [
        ("Prefer", "wait=soon", "Prefer"),
        ("Prefer", "wait=-1", "Prefer"),
        ("Prefer", "wait=121", "Prefer"),
        ("Prefer", "wait", "Prefer"),
        ("Idempotency-Key", "", "Idempotency-Key"),
        ("Idempotency-Key", "k" * 256, "Idempotency-Key"),
        ("Idempotency-Key", "caf\xe9", "Idempotency-Key"),
    ],
)
async def test_bad_headers_are_named(side: Side, header: str, value: str, field: str) -> None:
    headers = [(header.encode(), value.encode("latin-1"))]
    answer = await side.http.post("/v1/jobs", json={"model": "sandbox/echo"}, headers=headers)
    assert (answer.status_code, named(decoded(answer))) == (400, [field])
    assert side.decider.envelopes == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{not json", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"model": "\xff"}', "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * (257 << 10), "application/json", 413),
    ],
)
async def test_bodies_that_are_no_json_or_too_large(side: Side, content: bytes, kind: str, status: int) -> None:
    answer = await side.http.post("/v1/jobs", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert side.decider.envelopes == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"x", 415),
        (b"this is no picture at all", 415),
        (picture(kind="GIF"), 415),
        (picture()[:20], 400),
        (picture(kind="JPEG")[:20], 400),
        (picture() + bytes(10 << 20), 413),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00\x00\xff\xff" * 2 + bytes(80), 400),
    ],
)
async def test_bad_pictures_name_the_field_and_leave_no_object(side: Side, content: bytes, status: int) -> None:
    answer = await side.upload(content)
    assert (answer.status_code, named(decoded(answer))) == (status, ["file"])
    assert stored_keys(side.objects) == []
    assert side.decider.envelopes == []


async def test_multipart_bodies_that_hold_no_file_or_more_than_one(side: Side) -> None:
    good = picture()
    strange = await side.http.post("/v1/assets", files={"picture": ("a.png", good)})
    two = await side.http.post("/v1/assets", files=[("file", ("a.png", good)), ("file", ("b.png", good))])
    assert named(decoded(strange)) == ["file", "picture"]
    assert named(decoded(two)) == ["file"]
    for content, kind, status in (
        (b"--x--\r\n", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n", "multipart/form-data", 400),
        (b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\n" + good, "multipart/form-data; boundary=x", 400),
        (good, "image/png", 415),
    ):
        answer = await side.http.post("/v1/assets", content=content, headers={"Content-Type": kind})
        assert answer.status_code == status, answer.text
    assert stored_keys(side.objects) == []
    assert side.decider.envelopes == []


@pytest.mark.parametrize(
    ("account", "body", "field"),
    [
        ("darkroom:ada", {}, "amount"),
        ("darkroom:ada", {"amount": "5"}, "amount"),
        ("darkroom:ada", {"amount": 1.5}, "amount"),
        ("darkroom:ada", {"amount": True}, "amount"),
        ("darkroom:ada", {"amount": 0}, "amount"),
        ("darkroom:ada", {"amount": 1 << 60}, "amount"),
        ("darkroom:ada", {"amount": 1 << 80}, "amount"),
        ("darkroom:ada", {"amount": 1, "reason": ""}, "reason"),
        ("darkroom:ada", {"amount": 1, "more": 1}, "more"),
        ("darkroom", {"amount": 1}, "account"),
        (":ada", {"amount": 1}, "account"),
    ],
)
async def test_bad_grants_name_the_field(side: Side, account: str, body: Any, field: str) -> None:
    headers = {"Authorization": f"Bearer {side.token('root', role='admin')}"}
    answer = await side.http.post(f"/v1/accounts/{account}:grant", json=body, headers=headers)
    assert (answer.status_code, named(decoded(answer))) == (400, [field])
    assert side.decider.envelopes == []
