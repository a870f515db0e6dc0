"""What a documented contract's submit costs beside the native one: ``python -m tests.bench.contracts``.

Both make the same command of the same account, decided and not waited for beyond that; no dispatcher runs, so nothing
but the way in is measured. Where a contract takes the picture in the same request, the native way is an upload and a
submit, and its rate that of both together.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import jwt
import msgspec

from infra.cli.plan import publish_plan
from tests.bench.children import stack
from tests.bench.clients import measured, tokens, upload
from tests.bench.load import Load, Shape
from tests.bench.measure import Figure, Pair, pair
from tests.bench.report import Results, machine, markdown
from tests.pictures import encoded, scene

ROUNDS = 5
ACCOUNTS = 128
CONNECTIONS = 64
GOAL = 0.85
_PLAN = Path(__file__).with_name("plan.toml")
_BOUNDARY = "bench-boundary"
_WORKSPACES = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
_LIMITS = (
    "ai-image-generate",
    "pix-loom-generate",
    "spike-land-enhance",
    "workspace-images-user",
    "workspace-images-workspace",
    "workspace-images-address",
    "studio-requests",
)
Make = Callable[[str, str], Shape]


def _json(token: str, path: str, body: object) -> Shape:
    headers = (f"Authorization: Bearer {token}", "Content-Type: application/json", "Prefer: respond-async")
    return Shape("POST", path, headers, msgspec.json.encode(body).decode())


def _form(token: str, path: str, texts: dict[str, str], picture: bytes = b"", field: str = "image") -> Shape:
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in texts.items()
    ]
    if picture:
        head = f'Content-Disposition: form-data; name="{field}"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        parts.append(f"--{_BOUNDARY}\r\n{head}".encode() + picture + b"\r\n")
    kind = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}"
    headers = (f"Authorization: Bearer {token}", kind, "Prefer: respond-async")
    return Shape("POST", path, headers, raw=b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode())


class Contracts:
    """All pairs on one set of servers."""

    def __init__(self, port: int, pids: tuple[int, ...], make_tokens: Callable[[str], list[str]]) -> None:
        self._port, self._pids, self._tokens = port, pids, make_tokens
        self._picture = encoded(scene(64, 48))
        self.pairs: list[Pair] = []

    def run(self) -> None:
        """Measure all five."""
        url = self._media()
        self._against_submit(
            "pix-loom",
            "POST /api/ai/generate",
            202,
            lambda t, a: _json(
                t, "/api/ai/generate", {"originalImageUrl": f"{url}/{a}", "operationType": "colorization"}
            ),
            lambda t, a: _json(t, "/v1/jobs", {"model": "colorization", "input": {"asset": a}}),
        )
        self._against_submit(
            "spike-land",
            "POST /api/images/enhance",
            200,
            lambda t, a: _json(t, "/api/images/enhance", {"imageId": f"img_{a[6:]}", "tier": "TIER_1K"}),
            lambda t, a: _json(
                t, "/v1/jobs", {"model": "enhance", "input": {"asset": a}, "params": {"tier": "TIER_1K"}}
            ),
        )
        params = {"prompt": "a lake", "size": "1024x1024", "style": "natural"}
        self._against_submit(
            "workspace-images",
            "POST /api/ai/images",
            202,
            lambda t, _: _json(t, "/api/ai/images", {"prompt": "a lake", "workspaceId": _workspace(t)}),
            lambda t, _: _json(t, "/v1/jobs", {"model": "dall-e-3", "params": params}),
            pictures=False,
        )
        self._against_submit(
            "studio",
            "POST /api/generate",
            202,
            lambda t, _: _form(t, "/api/generate", {"prompt": "a lake", "model": "flux"}),
            lambda t, _: _json(t, "/v1/jobs", {"model": "flux", "params": {"prompt": "a lake"}}),
            pictures=False,
        )
        self._against_upload_and_submit()

    def _media(self) -> str:
        """Where the gateway says that pictures are."""
        token = self._tokens("darkroom")[0]
        files, headers = {"file": ("a.jpg", self._picture, "image/jpeg")}, {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"http://127.0.0.1:{self._port}/v1/assets", files=files, headers=headers, timeout=30)
        return str(answer.json()["url"]).rpartition("/")[0]

    def _against_submit(
        self, product: str, what: str, status: int, contract: Make, native: Make, *, pictures: bool = True
    ) -> None:
        users = self._tokens(product)
        assets = [upload(self._port, token, self._picture) for token in users] if pictures else [""] * len(users)
        of = list(zip(users, assets, strict=True))
        ours = [contract(token, asset) for token, asset in of]
        bare = [native(token, asset) for token, asset in of]
        self._rate(f"warm-{product}", ours, status)
        figures: tuple[list[Figure], list[Figure]] = ([], [])
        for number in range(ROUNDS):
            figures[0].append(self._rate(f"{product}-{number}", ours, status))
            figures[1].append(self._rate(f"native-{product}-{number}", bare, 202))
        self._add(pair(what, "submits/s", "native POST /v1/jobs, same command", GOAL, *figures))

    def _add(self, measured_pair: Pair) -> None:
        self.pairs.append(measured_pair)
        print(f"{measured_pair.name}: {measured_pair.ratio.text()}", file=sys.stderr, flush=True)

    def _against_upload_and_submit(self) -> None:
        users = self._tokens("ai-image")
        texts = {"model": "real-esrgan", "scale": "2"}
        ours = [_form(token, "/api/ai-image/generate", texts, self._picture) for token in users]
        puts = [_form(token, "/v1/assets", {}, self._picture, "file") for token in users]
        assets = [upload(self._port, token, self._picture) for token in users]
        body = {"model": "real-esrgan", "params": {"scale": 2}}
        submits = [
            _json(token, "/v1/jobs", {**body, "input": {"asset": asset}})
            for token, asset in zip(users, assets, strict=True)
        ]
        self._rate("warm-ai-image", ours, 202)
        figures: tuple[list[Figure], list[Figure]] = ([], [])
        for number in range(ROUNDS):
            figures[0].append(self._rate(f"ai-image-{number}", ours, 202))
            put = self._rate(f"put-{number}", puts, 201)
            submit = self._rate(f"native-ai-image-{number}", submits, 202)
            cpu_us = (put.cpu_us or 0.0) + (submit.cpu_us or 0.0)
            figures[1].append(Figure(1 / (1 / put.rate + 1 / submit.rate), cpu_us))
        against = "native POST /v1/assets and POST /v1/jobs"
        self._add(pair("POST /api/ai-image/generate", "submits/s", against, GOAL, *figures))

    def _rate(self, key: str, shapes: Sequence[Shape], status: int) -> Figure:
        load = Load("127.0.0.1", self._port, tuple(shapes), f"{key}-", CONNECTIONS, pids=self._pids)
        return measured(load, status).figure


def _workspace(token: str) -> str:
    """The workspace that a token names."""
    return str(jwt.decode(token, options={"verify_signature": False})["workspace"])


def main() -> int:
    """Run everything; the exit code."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    os.environ["DARKROOM_PLAN_PATH"] = str(_PLAN)
    os.environ["DARKROOM_LIMITS__AMOUNTS"] = msgspec.json.encode(dict.fromkeys(_LIMITS, 10_000_000)).decode()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder,
        stack(Path(folder) / "contracts", "kafka", "s3", "postgres") as (servers, children),
    ):
        asyncio.run(publish_plan(servers.settings))
        roles = [children.role(name) for name in ("processor-0", "projector-0", "gateway-0")]

        def of(product: str) -> list[str]:
            workspace = _WORKSPACES if product == "workspace-images" else None
            return tokens(servers.settings, ACCOUNTS, product, workspace)

        bench = Contracts(children.gateway_port, tuple(role.pid for role in roles), of)
        bench.run()
    results = Results(ROUNDS, time.monotonic() - started, machine(), bench.pairs)
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
