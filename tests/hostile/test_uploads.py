"""Hostile pictures through every way in, and those that are taken as inputs of jobs.

Each picture goes through the native upload and through two of the others, in turn, so that each kind of picture meets
each way in; `DARKROOM_HOSTILE_EVERY=1` sends all through all. Ways that make a job at once get no good picture of more
than a megapixel: to enlarge tens of them takes minutes, and is what was asked for. What is refused is refused in the
contract's shape and costs nothing; what is taken is served as a picture and as nothing that a browser would run.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from infra.media.header import HeaderUnreadable, read_header
from tests.client import ENDED, Client
from tests.end_to_end.pictures_elsewhere import PictureServer
from tests.hostile.entries import HARMLESS, OPERATIONS, asked, check_answer, client_of, headers_for
from tests.hostile.pictures import HostilePicture, hostile_pictures
from tests.hostile.uploads import Entry, Sent, entries
from tests.hostile.watch import Watch
from tests.stack import Stack

NATIVE = "upload-asset"
WAYS = (
    NATIVE, "complete-upload", "fetch-asset", "pix-loom-generate", "ai-image-generate", "spike-land-upload",
    "spike-land-batch-upload", "studio-generate", "studio-generate-form",
)  # fmt: skip
_AT_ONCE = 4
_PIXELS_MAX = 1_000_000
_JOBS_LIMIT_S = 900.0
_WORKING = frozenset({"pix-loom-generate", "ai-image-generate", "studio-generate", "studio-generate-form"})


def _share(way: str) -> Sequence[HostilePicture]:
    """The pictures that go this way."""
    pictures = hostile_pictures()
    if way in _WORKING:
        pictures = tuple(
            picture for picture in pictures if picture.fate == "refused" or _pixels(picture) <= _PIXELS_MAX
        )
    if way == NATIVE or os.environ.get("DARKROOM_HOSTILE_EVERY") == "1":
        return pictures
    ways = len(WAYS) - 1
    place = WAYS.index(way) - 1
    return [picture for number, picture in enumerate(pictures) if (number + place) % ways in (0, ways // 2)]


def test_every_operation_that_takes_a_picture_is_a_way_in(elsewhere: PictureServer) -> None:
    taking = {row.name for row in OPERATIONS if row.body is not None and row.body.media.startswith("multipart")}
    assert taking <= set(WAYS)
    assert set(entries(elsewhere)) == set(WAYS)


async def _clients(stack: Stack, entry: Entry, count: int) -> AsyncIterator[tuple[httpx.AsyncClient, range]]:
    """Callers, each with the numbers of the pictures that it sends."""
    for start in range(0, count, entry.most):
        async with client_of(stack, headers_for(stack, entry.operation)) as client:
            yield client, range(start, min(start + entry.most, count))


async def _through(stack: Stack, watch: Watch, entry: Entry, pictures: Sequence[HostilePicture]) -> Counter[int]:
    """Send all; how many answers had each status."""
    statuses: Counter[int] = Counter()

    async def send(client: httpx.AsyncClient, picture: HostilePicture) -> None:
        async with places:
            with watch.timed(f"{entry.operation.name}: {picture.name}"):
                sent = await entry.send(client, picture)
            _check(entry, picture, sent)
            statuses[sent.answer.status_code] += 1

    places = asyncio.Semaphore(_AT_ONCE)
    async for client, numbers in _clients(stack, entry, len(pictures)):
        await asyncio.gather(*(send(client, pictures[number]) for number in numbers))
    return statuses


def _check(entry: Entry, picture: HostilePicture, sent: Sent) -> None:
    answer = sent.answer
    check_answer(entry.operation, answer)
    is_taken = _is_taken(answer)
    formats_differ = picture.content[4:8] == b"ftyp"  # HEIC is not every contract's
    said = f"{entry.operation.name}: {picture.name}: {answer.status_code} {answer.text[:300]}"
    if picture.fate == "refused":
        assert not is_taken, said
    elif picture.fate == "taken" and not formats_differ:
        assert is_taken or _is_about_the_result(answer), said


def _is_taken(answer: httpx.Response) -> bool:
    """A batch tells of each file in its place; a page leads on where all is well."""
    if answer.is_success and "summary" in (document := _document(answer)):
        return bool(document["summary"]["successful"])
    return answer.is_success or answer.status_code == 303


def _is_about_the_result(answer: httpx.Response) -> bool:
    """The picture was good, but what would be made of it is too large, or the engine does not take it."""
    return any(
        word in answer.text.lower() for word in ("pixel", "megapixel", "too large", "zu groß", "result", "过大", "像素")
    )


def _document(answer: httpx.Response) -> dict[str, Any]:
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    return dict(answer.json()) if is_json else {}


@pytest.mark.parametrize("way", [way for way in WAYS if way != NATIVE])
async def test_hostile_pictures_by_other_ways(stack: Stack, watch: Watch, elsewhere: PictureServer, way: str) -> None:
    pictures = _share(way)
    statuses = await _through(stack, watch, entries(elsewhere)[way], pictures)
    Watch.told.append(f"{way}: {len(pictures)} hostile pictures, statuses {dict(sorted(statuses.items()))}")
    assert sum(statuses.values()) == len(pictures)


async def test_hostile_pictures_and_jobs_on_those_that_are_taken(
    stack: Stack, watch: Watch, elsewhere: PictureServer
) -> None:
    """The whole way of every picture: uploaded, served, worked on where it is small, charged where that succeeded."""
    entry, taken, refused = entries(elsewhere)[NATIVE], {}, 0
    async with AsyncExitStack() as opened:
        user = await opened.enter_async_context(Client(stack))
        granted = await user.grant(1_000)
        places = asyncio.Semaphore(_AT_ONCE)

        async def send(picture: HostilePicture) -> None:
            nonlocal refused
            async with places:
                with watch.timed(f"{NATIVE}: {picture.name}"):
                    sent = await entry.send(user.http, picture)
                _check(entry, picture, sent)
                if sent.asset is None:
                    refused += 1
                    return
                taken[picture.name] = sent.asset
                await _check_served(user.http, sent.asset)

        await asyncio.gather(*(send(picture) for picture in hostile_pictures()))
        assert (await user.account())["balance"] == granted, "uploads cost nothing, refused or taken"
        ended = await _worked_on(user, watch, taken)
        account = await user.account()
    assert account["reserved"] == 0
    assert account["balance"] == granted - ended["succeeded"], ended
    assert ended["failed"] > 50, "what cannot be decoded fails, and costs nothing"
    told = f"{len(taken)} taken, {refused} refused; as inputs of jobs {dict(ended)}"
    Watch.told.append(f"{NATIVE}: {len(hostile_pictures())} hostile pictures, {told}")


async def _check_served(http: httpx.AsyncClient, asset: str) -> None:
    for path in (f"/v1/media/{asset}", f"/v1/assets/{asset}"):
        answer = await asked(http, "GET", path, headers={"Accept": "text/html,*/*", "Range": "bytes=0-63"})
        assert answer.status_code in (200, 206), answer.text[:300]
        assert answer.headers["content-type"] in HARMLESS
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        disposition = answer.headers["content-disposition"]
        assert disposition.isprintable()
        assert ";" not in disposition.partition('filename="')[2].partition('"')[0]


async def _worked_on(user: Client, watch: Watch, taken: dict[str, str]) -> Counter[str]:
    """How the jobs on what was taken ended. What is large is asked for four times as large: too large to be made."""
    by_name = {picture.name: picture for picture in hostile_pictures()}
    ended: Counter[str] = Counter()
    places = asyncio.Semaphore(16)

    async def work(name: str, asset: str) -> None:
        scale = 2 if _pixels(by_name[name]) <= _PIXELS_MAX else 4
        async with places:
            with watch.timed(f"submit-job: {name}"):
                answer = await user.submit("classical/upscale", {"scale": scale}, asset=asset)
            if scale == 4:
                assert answer.status_code == 400, f"{name}: {answer.status_code} {answer.text[:300]}"
                ended["too large"] += 1
                return
            assert answer.status_code == 202, f"{name}: {answer.status_code} {answer.text[:300]}"
            job = await user.until_ended(answer.json()["id"], limit_s=_JOBS_LIMIT_S)
        assert job["status"] in ENDED
        if job["status"] == "failed":
            assert job["error"]["code"] == "input-undecodable", f"{name}: {job}"
        ended[job["status"]] += 1

    await asyncio.gather(*(work(name, asset) for name, asset in taken.items()))
    return ended


def _pixels(picture: HostilePicture) -> int:
    try:
        header = read_header(picture.content)
    except HeaderUnreadable:
        return 0
    return header.width * header.height
