"""Models of the catalogue on arrays, through the same `perform` that dispatchers use, against a real Triton."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.triton.engine import Engine, Tensors
from processors.dispatch.pixels import Clip, Pixels
from processors.dispatch.tasks import Product, perform
from schemas.catalogue import Catalogue, Entry, fallback, parse_catalogue, validate_params

Array = NDArray[np.uint8]
CATALOGUE = Path(__file__).parents[2] / "infra" / "catalogue.toml"


def catalogue() -> Catalogue:
    return parse_catalogue(CATALOGUE.read_bytes())


def entry_of(slug: str) -> Entry:
    found = catalogue().entry(slug)
    assert found is not None, slug
    return found


class Engines:
    """Runs models of the catalogue by their slugs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def picture(
        self,
        slug: str,
        source: Array | None = None,
        mask: Array | None = None,
        *,
        second: bool = False,
        **params: object,
    ) -> Array:
        entry = entry_of(slug)
        if second:
            other = fallback(entry)
            assert other is not None
            entry = other
        made = await self.product(entry, source, mask, params)
        assert isinstance(made, Pixels)
        with made:
            return made.array.copy()

    async def frames(self, slug: str, source: Array, **params: object) -> Array:
        made = await self.product(entry_of(slug), source, None, params)
        assert isinstance(made, Clip)
        with made:
            return made.frames.copy()

    async def product(
        self, entry: Entry, source: Array | None, mask: Array | None, params: Mapping[str, object]
    ) -> Product:
        async def call(name: str, inputs: Tensors) -> Tensors:
            return await self._engine.infer(name, entry.engine_version, inputs, 120)

        valid = validate_params(entry, params)
        assert not isinstance(valid, list), valid
        given = None if source is None else Pixels.of(source)
        veil = None if mask is None else Pixels.of(np.repeat(mask[..., None], 3, -1))
        try:
            return await perform(call, entry, 1, valid.params, valid.texts, given, veil)
        finally:
            for pixels in (given, veil):
                if pixels is not None:
                    pixels.close()


def psnr(one: Array, other: Array, where: NDArray[np.bool_] | None = None) -> float:
    """Peak signal to noise in dB, over all pixels or over some."""
    a, b = (one, other) if where is None else (one[where], other[where])
    error = float(np.mean((a.astype(float) - b.astype(float)) ** 2))
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))
