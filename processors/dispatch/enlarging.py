"""Enlarging a picture tile by tile, in several passes where it has to become more than four times as large.

The engine answers PIXELS for PIXELS and SCALE (1, 2 or 4). What an entry sends beside them by `tensors`, such as a
wish to bring out detail, goes with the first pass alone: on the picture's own pixels.
"""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np

from infra.triton.engine import Tensors
from processors.dispatch.pixels import Pixels
from processors.dispatch.tasks import OUTPUT, Call, at_once, expected, numbers
from processors.dispatch.tiles import HALO, Tile, cut, place, reduced, tiles
from schemas.catalogue import Entry, ValidParams, result_size

SCALES = (1, 2, 4)
Size = tuple[int, int]


class Pass(msgspec.Struct, frozen=True):
    """Enlarge `scale` times, then reduce to `size` (width, height) in pixels."""

    scale: int
    size: Size


def passes(own: Size, wanted: Size) -> list[Pass]:
    """The passes that make `own` pixels into `wanted`, which are at least as many. Pure.

    Only the first may overshoot by nearly two; each one after it is four times the picture before, but for rounding.
    """
    for scale in SCALES:
        if scale * own[0] >= wanted[0] and scale * own[1] >= wanted[1]:
            return [Pass(scale, wanted)]
    before = (-(-wanted[0] // SCALES[-1]), -(-wanted[1] // SCALES[-1]))
    return [*passes(own, before), Pass(SCALES[-1], wanted)]


def pixels_at_most(own: Size, wanted: Size) -> int:
    """Pixels of the largest picture that the passes make."""
    most, before = 0, own
    for step in passes(own, wanted):
        most, before = max(most, before[0] * before[1] * step.scale**2), step.size
    return most


async def enlarged(call: Call, entry: Entry, attempt: int, params: ValidParams, source: Pixels) -> Pixels:
    """Run all passes; the caller closes `source` and the answer. After an exception nothing is left open."""
    own = (source.width, source.height)
    first, *others = passes(own, result_size(entry, params, *own))
    beside = numbers(entry, attempt, params)
    made = await _passed(call, entry, source, first, beside, entry.halo)
    for step in others:
        with made as before:
            made = await _passed(call, entry, before, step, {}, HALO)
    return made


async def _passed(call: Call, entry: Entry, source: Pixels, step: Pass, beside: Tensors, halo: int) -> Pixels:
    scale = step.scale
    if scale == 1 and not beside:
        return Pixels.of(source.array)
    inputs = {"SCALE": np.array([scale], np.int32), **beside}
    result = Pixels.blank(source.width * scale, source.height * scale, source.channels)

    async def work(tile: Tile) -> None:
        answer = await call(entry.engine, {OUTPUT: cut(source.array, tile, halo), **inputs})
        place(result.array, tile, scale, expected(answer, (tile.height * scale, tile.width * scale, source.channels)))
        if tile.left + tile.width == source.width:
            result.forget()

    try:
        await at_once(work, tiles(source.width, source.height))
        return await asyncio.to_thread(_to_size, result, *step.size)
    except BaseException:
        result.close()
        raise


def _to_size(result: Pixels, width: int, height: int) -> Pixels:
    """Reduce to the size asked for, where the scale overshot it."""
    if (result.width, result.height) == (width, height):
        return result
    with result:
        return Pixels.of(reduced(result.array, width, height))
