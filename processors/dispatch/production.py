"""From a work item to its stored result: fetch, open, decode, run, encode, store.

The output's key belongs to the delivery: the attempt's key and a random text. An item that is delivered twice, to a
process that was thought dead too, writes twice and replaces nothing; the outcome names the bytes that count.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

import msgspec

from infra import failpoints
from infra.ids import IdSource
from infra.media.header import CONTENT_TYPES, VIDEO_CONTENT_TYPES, Format
from infra.s3.store import ObjectStore
from infra.sealing.opener import Opener
from processors.dispatch import metrics
from processors.dispatch.budget import PixelBudget
from processors.dispatch.engines import Engines, Trail
from processors.dispatch.enlarging import pixels_at_most
from processors.dispatch.media import Media, output_format
from processors.dispatch.pixels import Pixels
from processors.dispatch.secrets import texts_of
from processors.dispatch.tasks import Call, Product, perform
from schemas.catalogue import Entry, ValidParams, result_size, validate_params, validate_public
from schemas.commands import StoredObject, Succeeded
from schemas.work import WorkItem

PIXELS_IN_MEMORY_MAX = 320_000_000
_DELIVERY_CHARACTERS = 10  # 50 random bits


class TextsUnfit(Exception):
    """What was sealed does not fit the model's parameters; the message is one sentence."""


class Materials(msgspec.Struct, frozen=True):
    """What the producer works with."""

    store: ObjectStore
    engines: Engines
    media: Media
    opener: Opener
    ids: IdSource


class Producer:
    """Makes results; one a process, so that its budget of pixels bounds them all."""

    def __init__(self, materials: Materials) -> None:
        self._with = materials
        self._budget = PixelBudget(PIXELS_IN_MEMORY_MAX)

    async def produce(self, item: WorkItem, entry: Entry, remaining_s: Callable[[], float], trail: Trail) -> Succeeded:
        """Make and store the result; `trail` keeps which engines were asked, however this ends."""
        params = validate_public(entry, item.params)
        assert not isinstance(params, list), "the item has been checked"
        texts = await self._texts(item, entry)
        async with self._budget.hold(_pixels(entry, item, params)):
            product, form, engine_ms = await self._product(item, entry, params, texts, remaining_s, trail)
            with product:
                result, thumbnail = await self._stored(item, entry, product, form)
        return Succeeded(result, engine_ms, thumbnail, trail.run)

    async def _texts(self, item: WorkItem, entry: Entry) -> Mapping[str, str]:
        if not entry.personal:
            return {}
        opened = await texts_of(item, self._with.opener, self._with.store)
        checked = validate_params(entry, {**item.params, **opened})
        if isinstance(checked, list):
            raise TextsUnfit(f"{checked[0].field}: {checked[0].message}")
        return checked.texts

    async def _product(
        self,
        item: WorkItem,
        entry: Entry,
        params: ValidParams,
        texts: Mapping[str, str],
        remaining_s: Callable[[], float],
        trail: Trail,
    ) -> tuple[Product, Format, int]:
        """Run the model: the product, the input's format (PNG where there is none), the engine's time in ms."""
        with contextlib.ExitStack() as opened:
            source, form = await self._decoded(item.input, opened)
            mask, _ = await self._decoded(item.mask, opened)

            async def work(call: Call, on: Entry) -> Product:
                return await perform(call, on, item.attempt, params, texts, source, mask)

            began = time.perf_counter()
            serve = self._with.engines.serve_alone if item.quarantine else self._with.engines.serve
            with metrics.stage("engine"):
                made = await serve(entry, work, remaining_s, trail)
        return made, form, round((time.perf_counter() - began) * 1000)

    async def _decoded(
        self, picture: StoredObject | None, opened: contextlib.ExitStack
    ) -> tuple[Pixels | None, Format]:
        if picture is None:
            return None, "png"
        with metrics.stage("fetch"):
            content = await self._with.store.get(picture.key, picture.sha256)
        with metrics.stage("decode"):
            decoded = await self._with.media.decode(content)
        return opened.enter_context(decoded.pixels), decoded.format

    async def _stored(
        self, item: WorkItem, entry: Entry, product: Product, form: Format
    ) -> tuple[StoredObject, StoredObject | None]:
        """Encode and store the product: the result, and of a video a still picture too."""
        key = f"{item.output_key}-{self._with.ids.mint('out')[-_DELIVERY_CHARACTERS:]}"
        size = (product.width, product.height)
        if isinstance(product, Pixels):
            form = output_format(form, *size, product.channels, entry.format)
            with metrics.stage("encode"):
                content = await self._with.media.encode(product, form, entry.label)
            return await self._put(key, content, CONTENT_TYPES[form], form, size), None
        with metrics.stage("encode"):
            clip = await self._with.media.encode_clip(product, entry.label)
        still = await self._put(f"{key}-still", clip.thumbnail, CONTENT_TYPES["jpeg"], "jpeg", size)
        content_type = VIDEO_CONTENT_TYPES[clip.format]
        video = await self._put(key, clip.content, content_type, clip.format, size)
        return msgspec.structs.replace(video, duration_ms=product.count * 1000 // product.fps), still

    async def _put(self, key: str, content: bytes, content_type: str, form: str, size: tuple[int, int]) -> StoredObject:
        with metrics.stage("store"):
            failpoints.passed("dispatcher.put-result.before")
            stored = await self._with.store.put(key, content, content_type)
            failpoints.passed("dispatcher.put-result.after")
        return StoredObject(stored.key, stored.size, stored.sha256, form, *size)


def _pixels(entry: Entry, item: WorkItem, params: ValidParams) -> int:
    """What the item holds in memory, about."""
    given = (0, 0) if item.input is None else (item.input.width, item.input.height)
    wanted = result_size(entry, params, *given)
    made = pixels_at_most(given, wanted) if entry.task == "upscale" else wanted[0] * wanted[1]
    return given[0] * given[1] + made
