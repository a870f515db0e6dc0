"""Every way by which a picture comes in: the native upload, a signed URL, a fetch, and each contract's own."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import httpx

from infra.http.routing import Operation
from tests.end_to_end.pictures_elsewhere import PictureServer
from tests.hostile.entries import BY_NAME, asked
from tests.hostile.pictures import HostilePicture

_numbers = itertools.count()


class Sent(NamedTuple):
    """The last answer, and the native id of the asset where there is one now."""

    answer: httpx.Response
    asset: str | None


Send = Callable[[httpx.AsyncClient, HostilePicture], Awaitable[Sent]]


class Entry(NamedTuple):
    """A way in. `most` is how many pictures one caller may send: the account's plan allows no more."""

    operation: Operation
    send: Send
    most: int = 10_000


def entries(elsewhere: PictureServer) -> Mapping[str, Entry]:
    """All of them, by the names of their operations."""

    async def fetched(client: httpx.AsyncClient, picture: HostilePicture) -> Sent:
        answer = await asked(client, "POST", "/v1/assets:fetch", json={"url": _elsewhere(elsewhere, picture)})
        return Sent(answer, _id(answer))

    async def generated(client: httpx.AsyncClient, picture: HostilePicture) -> Sent:
        body = {"operationType": "enhancement", "originalImageUrl": _elsewhere(elsewhere, picture)}
        return Sent(await asked(client, "POST", "/api/ai/generate", json=body), None)

    ways: Mapping[str, tuple[Send, int]] = {
        "upload-asset": (_uploaded, 10_000),
        "complete-upload": (_signed, 10_000),
        "fetch-asset": (fetched, 10_000),
        "pix-loom-generate": (generated, 4),
        "ai-image-generate": (_form("/api/ai-image/generate", "image", model="real-esrgan", scale="2"), 18),
        "spike-land-upload": (_spike, 10_000),
        "spike-land-batch-upload": (_form("/api/images/batch-upload", "files"), 10_000),
        "studio-generate": (_form("/api/generate", "image", model="stable_diffusion", prompt="oil painting"), 48),
        "studio-generate-form": (_form("/dashboard", "image", model="stable_diffusion", prompt="oil painting"), 48),
    }
    return {name: Entry(BY_NAME[name], send, most) for name, (send, most) in ways.items()}


async def _uploaded(client: httpx.AsyncClient, picture: HostilePicture) -> Sent:
    answer = await asked(client, "POST", "/v1/assets", files={"file": _file(picture)})
    return Sent(answer, _id(answer))


async def _signed(client: httpx.AsyncClient, picture: HostilePicture) -> Sent:
    """Presign, put past the gateway under whatever type it claims, complete."""
    signed = await asked(client, "POST", "/v1/assets:presign", json={"bytes": len(picture.content)})
    if not signed.is_success:
        return Sent(signed, None)
    document = signed.json()
    async with httpx.AsyncClient(timeout=60.0) as store:
        put = await store.put(document["url"], content=picture.content, headers=document["headers"])
    assert put.is_success or not picture.content, put.text
    body = {"file_name": picture.file_name[:200]}
    answer = await asked(client, "POST", f"/v1/assets/{document['id']}:complete", json=body)
    return Sent(answer, _id(answer))


async def _spike(client: httpx.AsyncClient, picture: HostilePicture) -> Sent:
    answer = await asked(client, "POST", "/api/images/upload", files={"file": _file(picture)})
    image = answer.json()["image"]["id"] if answer.is_success else None
    return Sent(answer, None if image is None else image.replace("img_", "asset_"))


def _form(path: str, field: str, **texts: str) -> Send:
    async def send(client: httpx.AsyncClient, picture: HostilePicture) -> Sent:
        return Sent(await asked(client, "POST", path, data=texts, files={field: _file(picture)}), None)

    return send


def _file(picture: HostilePicture) -> tuple[str, bytes, str]:
    return picture.file_name, picture.content, picture.content_type


def _elsewhere(server: PictureServer, picture: HostilePicture) -> str:
    path = f"/hostile-{next(_numbers)}"
    server.pictures[path] = picture.content
    return server.url + path


def _id(answer: httpx.Response) -> str | None:
    return str(answer.json()["id"]) if answer.is_success else None
