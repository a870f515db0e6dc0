"""Running a model on its engine: one function for every task of the catalogue.

Theory of operation
-------------------
`perform` is pure but for `call`: the same entry, parameters, texts and pixels make the same calls and the same product.
It knows nothing of servers: the runner binds version, timeout, choice of the server and health into `call`, and where
an engine cannot serve, it performs the whole task again with `schemas.catalogue.fallback(entry)`, never a single tile:
two engines in one picture would show a seam.

Every engine but the upscaler and the test cards takes one protocol: `REQUEST`, a JSON text of `Request`; `PIXELS`, a
tile with its halo or a whole small picture; `GUIDE`, the whole picture reduced to GUIDE_EDGE, from which an engine
takes everything that must be alike in all tiles; `MASK`. It answers `PIXELS`. No tensor ever holds the whole of a
large picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.triton.engine import PermanentFailure, Tensors, TransientFailure
from processors.dispatch.pixels import Clip, Pixels
from processors.dispatch.tiles import Tile, cut, place, reduced, tiles
from schemas.catalogue import Entry, ValidParams, result_size
from schemas.commands import Json

Call = Callable[[str, Tensors], Awaitable[Tensors]]
"""(engine, inputs) -> outputs. `engine` is always `entry.engine`; raises what `infra.triton.engine.Engine` raises."""

Product = Pixels | Clip
"""A picture, or frames of a video; whoever has it closes it."""

OUTPUT = "PIXELS"
GUIDE_EDGE = 512
CELL = 32
_CELLS = 12
FRAMES_AT_ONCE = 4
_TILES_AT_ONCE = 2
_encoder = msgspec.json.Encoder()


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the engine is asked: `params` hold the client's, the entry's fixed ones and the texts.

    `box` is (left, top, width, height) of a tile without its halo in the picture of `size` (width, height); for whole
    pictures `size` is the result's.
    """

    operation: str
    params: Mapping[str, Json]
    size: tuple[int, int]
    box: tuple[int, int, int, int] | None = None
    halo: int = 0


async def perform(
    call: Call,
    entry: Entry,
    attempt: int,
    params: ValidParams,
    texts: Mapping[str, str],
    source: Pixels | None,
    mask: Pixels | None,
) -> Product:
    """Run `entry` to its product. `params` and `texts` are validated; the caller closes `source` and `mask`.

    After an exception nothing is left open. Raises what `call` raises (inside an ExceptionGroup where tiles ran side by
    side: see `first_failure`), and TransientFailure for an answer of the wrong shape.
    """
    match entry.task:
        case "card":
            return await _card(call, entry, attempt, params)
        case "generate":
            return await _generated(call, entry, params, texts, source)
        case "upscale":
            from processors.dispatch.enlarging import enlarged

            return await enlarged(call, entry, attempt, params, _given(source))
        case "filter":
            return await _filtered(call, entry, params, texts, _given(source))
        case "inpaint":
            from processors.dispatch.inpainting import inpainted

            return await inpainted(call, entry, params, texts, _given(source), _given(mask))
        case "video":
            return await _filmed(call, entry, params, texts, _given(source))


def request(entry: Entry, params: ValidParams, texts: Mapping[str, str], **more: object) -> NDArray[np.object_]:
    """The REQUEST tensor."""
    values = {**entry.fixed, **params, **texts}
    made = msgspec.convert({"operation": entry.operation, "params": values, "size": (0, 0), **more}, Request)
    return np.array([_encoder.encode(made)], np.object_)


def expected(answer: Tensors, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The answer's pixels, where they have this shape (-1: 3 or 4 channels). Raises TransientFailure."""
    pixels = answer.get(OUTPUT)
    fits = (
        pixels is not None
        and pixels.dtype == np.uint8
        and len(pixels.shape) == len(shape)
        and all(have == want or (want == -1 and have in (3, 4)) for have, want in zip(pixels.shape, shape, strict=True))
    )
    if not fits or pixels is None:
        seen = "no pixels" if pixels is None else f"{pixels.dtype} of shape {pixels.shape}"
        raise TransientFailure(f"the engine answered {seen} instead of {shape}")
    return pixels


async def at_once(work: Callable[[Tile], Awaitable[None]], pieces: Iterable[Tile]) -> None:
    """Work on all tiles, a few side by side."""
    waiting = iter(pieces)

    async def worker() -> None:
        for tile in waiting:
            await work(tile)

    async with asyncio.TaskGroup() as group:
        for _ in range(_TILES_AT_ONCE):
            group.create_task(worker())


async def _filtered(call: Call, entry: Entry, params: ValidParams, texts: Mapping[str, str], source: Pixels) -> Pixels:
    """Filter tile by tile; the engine may add alpha, and enlarge where the entry says so."""
    size = (source.width, source.height)
    width, height = result_size(entry, params, *size)
    scale = max(1, width // source.width)
    guide = {"GUIDE": await asyncio.to_thread(_GUIDES[entry.guide], source)} if entry.guide != "none" else {}
    pieces = list(tiles(*size))
    made: list[Pixels] = []

    async def work(tile: Tile) -> None:
        box = (tile.left, tile.top, tile.width, tile.height)
        asked = request(entry, params, texts, size=size, box=box, halo=entry.halo)
        inputs = {"REQUEST": asked, OUTPUT: cut(source.array, tile, entry.halo), **guide}
        answer = expected(await call(entry.engine, inputs), (tile.height * scale, tile.width * scale, -1))
        if not made:
            made.append(Pixels.blank(width, height, answer.shape[2]))
        if answer.shape[2] != made[0].channels:
            raise TransientFailure("the engine answered some tiles with alpha and some without")
        place(made[0].array, tile, scale, answer)
        if tile.left + tile.width == source.width:
            made[0].forget()

    try:
        await work(pieces[0])
        await at_once(work, pieces[1:])
    except BaseException:
        for result in made:
            result.close()
        raise
    return made[0]


def guide_of(source: Pixels) -> NDArray[np.uint8]:
    """The whole picture, reduced so that its long edge is at most GUIDE_EDGE."""
    shrink = min(1.0, GUIDE_EDGE / max(source.width, source.height))
    return reduced(source.array, max(1, round(source.width * shrink)), max(1, round(source.height * shrink)))


def samples_of(source: Pixels) -> NDArray[np.uint8]:
    """Cells of the picture at its full resolution, spread over all of it, side by side; small pictures as they are."""
    if max(source.width, source.height) <= GUIDE_EDGE:
        return source.array.copy()
    rows, columns = (_even_places(side) for side in (source.height, source.width))
    down = (rows[:, None] + np.arange(min(CELL, source.height))).ravel()
    across = (columns[:, None] + np.arange(min(CELL, source.width))).ravel()
    return np.take(np.take(source.array, down, axis=0), across, axis=1)


def _even_places(side: int) -> NDArray[np.int64]:
    count = max(1, min(_CELLS, side // CELL))
    return np.linspace(0, max(0, side - CELL), count).astype(np.int64) // 2 * 2


_GUIDES = {"whole": guide_of, "samples": samples_of}


async def _generated(
    call: Call, entry: Entry, params: ValidParams, texts: Mapping[str, str], source: Pixels | None
) -> Pixels:
    """Ask for a whole picture; the engine sees at most a small copy of the one that was given."""
    size = result_size(entry, params, *((source.width, source.height) if source else (0, 0)))
    guide = {"GUIDE": guide_of(source)} if source else {}
    answer = await call(entry.engine, {"REQUEST": request(entry, params, texts, size=size), **guide})
    return Pixels.of(expected(answer, (1, size[1], size[0], -1))[0])


async def _filmed(call: Call, entry: Entry, params: ValidParams, texts: Mapping[str, str], source: Pixels) -> Clip:
    """Ask for the frames of a video, a few a call; each call gets the picture reduced to the video's size."""
    width, height = result_size(entry, params, source.width, source.height)
    values = {**entry.fixed, **params}
    seconds, fps = values["seconds"], values["fps"]
    assert isinstance(seconds, int)
    assert isinstance(fps, int)
    still = reduced(source.array, width, height)[..., :3]
    clip = Clip(Pixels.blank(width, height * seconds * fps, 3), seconds * fps, fps)

    async def work(piece: Tile) -> None:
        asked = request(entry, {**params, "first": piece.left, "count": piece.width}, texts, size=(width, height))
        answer = await call(entry.engine, {"REQUEST": asked, "GUIDE": still})
        clip.frames[piece.left : piece.left + piece.width] = expected(answer, (piece.width, height, width, 3))

    try:
        await at_once(work, tiles(clip.count, 1, FRAMES_AT_ONCE))
    except BaseException:
        clip.close()
        raise
    return clip


async def _card(call: Call, entry: Entry, attempt: int, params: ValidParams) -> Pixels:
    """Ask for a test card."""
    width, height = result_size(entry, params, 0, 0)
    answer = await call(entry.engine, numbers(entry, attempt, params))
    if entry.batched:
        return Pixels.of(expected(answer, (1, height, width, -1))[0])
    return Pixels.of(expected(answer, (height, width, -1)))


def numbers(entry: Entry, attempt: int, params: ValidParams) -> Tensors:
    """The tensors of numbers that the entry's `tensors` name."""
    values = {**entry.fixed, **params, "attempt": attempt}
    return {name: _number(values[source.removeprefix("params.")], entry) for name, source in entry.tensors.items()}


def _number(value: Json, entry: Entry) -> NDArray[np.int32]:
    assert isinstance(value, int)
    return np.array([[value]] if entry.batched else [value], np.int32)


def _given(pixels: Pixels | None) -> Pixels:
    if pixels is None:
        raise PermanentFailure("this model needs a picture that was not given")
    return pixels


def first_failure(error: Exception) -> Exception:
    """Take the first failure out of a task group's."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
