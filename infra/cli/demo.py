"""``darkroom demo``: the main job, told by its own answers.

A fresh user gets credits, uploads a photograph and has it enlarged twice. Shown are the job's answer, its events in
order and the balance before and after; checked are the size of the result, that it shows the same scene, that it is
more than plain enlargement, and that exactly the job's cost was charged.
"""

from __future__ import annotations

import io
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from infra.cli.options import admin_token, data_option, known_stack, make_token
from infra.local.errors import LocalError
from infra.local.layout import Layout
from schemas.identifiers import PRODUCTS

PHOTOGRAPH = Path(__file__).resolve().parents[1] / "local" / "assets" / "photograph.jpg"
_SCALE = 2
_CREDITS = 10
_WAIT_S = 60
_POLL_S = 0.5
_ENDED = ("succeeded", "failed", "canceled", "expired")
_SAME_SCENE_MAX = 12.0
_PLAIN_MIN = 0.3


class DemoFailed(click.ClickException):
    """The pipeline answered, but not as it promises; exit code 1."""


@dataclass(frozen=True)
class _Told:
    """What the demo saw, to be shown."""

    job: dict[str, Any]
    events: list[dict[str, Any]]
    before: int
    after: int
    original: Path
    result: Path


@click.command()
@data_option
@click.option("--start", is_flag=True, help="Start a stack on a free port for the demo, and stop it at the end.")
def demo(layout: Layout, start: bool) -> None:
    """Send a photograph through a running stack and show what happened.

    Exit code 0: the result is right and was charged once; 1: it is not.
    """
    if start:
        from infra.cli.own_stack import own_stack

        with own_stack(layout):
            _show(_run(layout))
    else:
        _show(_run(layout))


def _run(layout: Layout) -> _Told:
    stack = known_stack(layout)
    subject = f"demo-{secrets.token_hex(4)}"
    account = f"{PRODUCTS[-1]}:{subject}"
    folder = layout.root / "demo"
    folder.mkdir(exist_ok=True)
    original, result = folder / "original.jpg", folder / f"enlarged-{_SCALE}x.jpg"
    original.write_bytes(PHOTOGRAPH.read_bytes())
    operator = _Api(stack.url, admin_token(layout, stack))
    user = _Api(stack.url, make_token(layout, stack, PRODUCTS[-1], subject, ttl_s=600))
    with operator, user:
        operator.post(f"/v1/accounts/{account}:grant", {"amount": _CREDITS})
        before = user.get("/v1/account")["balance"]
        asset = user.upload(original)
        job = _finished(user, user.post("/v1/jobs", _job(asset["id"]), {"Prefer": f"wait={_WAIT_S}"}))
        result.write_bytes(user.bytes(job["result"]["url"]))
        events = user.get(f"/v1/jobs/{job['id']}/events")["data"]
        after = user.get("/v1/account")["balance"]
    told = _Told(job, events, before, after, original, result)
    _check(told)
    return told


def _job(asset: str) -> dict[str, Any]:
    return {"model": "classical/upscale", "input": {"asset": asset}, "params": {"scale": _SCALE}}


def _finished(user: _Api, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it succeeded. An answer may come before the end (a busy machine, a component that restarts)."""
    deadline = time.monotonic() + _WAIT_S
    while job["status"] not in _ENDED and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        job = user.get(f"/v1/jobs/{job['id']}")
    if job["status"] != "succeeded":
        raise DemoFailed(f"The job did not succeed: {json.dumps(job)}")
    return job


class _Api:
    """The HTTP API as one caller; every refusal is a `DemoFailed` that quotes it."""

    def __init__(self, url: str, token: str) -> None:
        import httpx

        self._transport_error = httpx.TransportError
        self._url = url
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=_WAIT_S + 15)

    def __enter__(self) -> None:
        self._client.__enter__()

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str) -> dict[str, Any]:
        return self._json("GET", path)

    def post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        return self._json("POST", path, json=body, headers=headers or {})

    def upload(self, file: Path) -> dict[str, Any]:
        return self._json("POST", "/v1/assets", files={"file": (file.name, file.read_bytes(), "image/jpeg")})

    def bytes(self, url: str) -> bytes:
        return bytes(self._ask("GET", url).content)

    def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        content: dict[str, Any] = self._ask(method, path, **more).json()
        return content

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        """The answer; what is told to come later (503 with Retry-After) is asked again, for a write under its key."""
        headers = {"Idempotency-Key": secrets.token_hex(16), **more.pop("headers", {})}
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                answer = self._client.request(method, path, headers=headers, **more)
            except self._transport_error as error:
                raise LocalError(f"Nothing answers at {self._url}: start the stack with `darkroom up`.") from error
            if answer.status_code != 503 or time.monotonic() > deadline:
                break
            time.sleep(float(answer.headers.get("retry-after", 1)))
        if not answer.is_success:
            raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text}")
        return answer


def _check(told: _Told) -> None:
    from PIL import Image, ImageChops, ImageStat

    with Image.open(told.original) as original, Image.open(io.BytesIO(told.result.read_bytes())) as result:
        size = (original.width * _SCALE, original.height * _SCALE)
        if result.size != size:
            raise DemoFailed(f"The result has {result.size} pixels, not {size}.")
        plain = original.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        difference = sum(ImageStat.Stat(ImageChops.difference(result.convert("RGB"), plain)).mean) / 3
    if not _PLAIN_MIN < difference < _SAME_SCENE_MAX:
        raise DemoFailed(
            f"The result differs from plain enlargement by {difference:.2f} levels a pixel on average: below "
            f"{_PLAIN_MIN} it is nothing more, above {_SAME_SCENE_MAX} it is another picture."
        )
    if told.before - told.after != told.job["cost"]:
        raise DemoFailed(f"The balance went from {told.before} to {told.after}, the cost was {told.job['cost']}.")


def _show(told: _Told) -> None:
    with _part("The job's answer"):
        click.echo(json.dumps(told.job, indent=2))
    with _part("Its events, in order"):
        for event in told.events:
            click.echo(f"{event['time']}  {event['id']:<16} {event['type']}")
    with _part("The balance"):
        click.echo(f"before {told.before}, after {told.after}: charged {told.before - told.after}, once")
    with _part("The pictures"):
        click.echo(f"original  {told.original}\nresult    {told.result}")


@contextmanager
def _part(title: str) -> Iterator[None]:
    click.echo()
    click.secho(title, bold=True)
    yield
