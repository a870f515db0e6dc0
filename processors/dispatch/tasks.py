"""Running a model on the engine: tiles for a picture, numbers for a test card."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from infra.triton.engine import Engine, Tensors, TransientFailure
from processors.dispatch.pixels import Pixels
from processors.dispatch.tiles import Tile, cut, place, tiles
from schemas.catalogue import Entry, result_size
from schemas.commands import Json
from schemas.work import WorkItem

OUTPUT = "PIXELS"
_TILES_AT_ONCE = 2


async def enlarge(engine: Engine, entry: Entry, source: Pixels, params: Mapping[str, Json], timeout_s: float) -> Pixels:
    """Enlarge a picture tile by tile. The caller closes the result; after an exception there is none."""
    scale = params[entry.result.times or "scale"]
    assert isinstance(scale, int)
    width, height = result_size(entry, params, source.width, source.height)
    result = Pixels.blank(width, height, source.channels)
    waiting = iter(list(tiles(source.width, source.height)))
    number = np.array([scale], np.int32)

    async def work() -> None:
        for tile in waiting:
            inputs: Tensors = {OUTPUT: cut(source.array, tile), "SCALE": number}
            answer = await engine.infer(entry.engine, entry.engine_version, inputs, timeout_s)
            place(result.array, tile, scale, _expected(answer[OUTPUT], tile, scale, source.channels))
            if tile.left + tile.width == source.width:
                result.forget()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_TILES_AT_ONCE):
                group.create_task(work())
    except BaseException:
        result.close()
        raise
    return result


async def draw_card(
    engine: Engine, entry: Entry, item: WorkItem, params: Mapping[str, Json], timeout_s: float
) -> Pixels:
    """Ask for a test card. The caller closes the result."""
    inputs = {name: _number(source, item, params, entry.batched) for name, source in entry.tensors.items()}
    answer = await engine.infer(entry.engine, entry.engine_version, inputs, timeout_s)
    card = answer[OUTPUT][0] if entry.batched else answer[OUTPUT]
    if card.ndim != 3 or card.dtype != np.uint8 or card.shape[2] not in (3, 4):
        raise TransientFailure(f"{entry.engine} answered {card.dtype} of shape {card.shape} instead of a picture")
    return Pixels.of(card)


def _number(source: str, item: WorkItem, params: Mapping[str, Json], batched: bool) -> NDArray[np.int32]:
    value = item.attempt if source == "attempt" else params[source.removeprefix("params.")]
    assert isinstance(value, int)
    return np.array([[value]] if batched else [value], np.int32)


def _expected(answer: NDArray[np.uint8], tile: Tile, scale: int, channels: int) -> NDArray[np.uint8]:
    wanted = (tile.height * scale, tile.width * scale, channels)
    if answer.shape != wanted or answer.dtype != np.uint8:
        raise TransientFailure(f"the engine answered {answer.dtype} of shape {answer.shape} instead of {wanted}")
    return answer


def first_failure(error: Exception) -> Exception:
    """Take the first failure out of a task group's."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
