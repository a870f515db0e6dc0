"""The bare component for jobs: S3 get, decode, Triton, encode, S3 put in one loop, with the libraries alone.

One event loop, codecs in as many threads as a dispatcher has media processes, at a dispatcher's concurrency. Nothing is
queued, decided, charged, hashed or told to anybody.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import aioboto3
import numpy as np
from aioboto3.session import AioConfig
from numpy.typing import NDArray
from PIL import Image
from tritonclient.grpc.aio import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from infra.settings import Settings
from processors.dispatch.app import MEDIA_PROCESSES, share_table
from processors.dispatch.shares import most
from processors.dispatch.tasks import at_once
from processors.dispatch.tiles import HALO, Tile, place, tiles
from tests.bench.measure import Figure

IN_FLIGHT = most(share_table(Settings()), "standard")
LEAST_JOBS = 16
SCALE = 2
Kind = Literal["echo", "JPEG", "WEBP"]
"""A test card as PNG, or a picture of that form that is enlarged."""
TEST_CARD = "sandbox_echo"
WARM_S = 0.5


class BareLoop:
    """The clients, open for one round."""

    def __init__(self, s3: Any, triton: InferenceServerClient, bucket: str, round_number: int, kind: Kind) -> None:
        self._s3, self._triton, self._bucket, self._kind = s3, triton, bucket, kind
        self._threads = ThreadPoolExecutor(MEDIA_PROCESSES)
        self._prefix = f"bench/{round_number}"
        self._number = 0

    async def job(self) -> None:
        """One of its kind."""
        await (self._echo() if self._kind == "echo" else self._upscale(self._kind))

    async def _echo(self) -> None:
        """One test card."""
        await self._store((await test_card(self._triton, self._number % 256))[0], "PNG")

    async def _upscale(self, form: str) -> None:
        """One picture enlarged, tile by tile as engines get it, and stored in the form in which it came."""
        found = await self._s3.get_object(Bucket=self._bucket, Key="bench/input")
        async with found["Body"] as body:
            content = await body.read()
        loop = asyncio.get_running_loop()
        source = await loop.run_in_executor(self._threads, _decoded, content)
        height, width = source.shape[0] - 2 * HALO, source.shape[1] - 2 * HALO
        made = np.empty((height * SCALE, width * SCALE, 3), np.uint8)

        async def work(tile: Tile) -> None:
            bottom, right = tile.top + tile.height + 2 * HALO, tile.left + tile.width + 2 * HALO
            place(made, tile, SCALE, await self._enlarged(source[tile.top : bottom, tile.left : right]))

        await at_once(work, tiles(width, height))
        await self._store(made, form)

    async def _enlarged(self, piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
        inputs: dict[str, NDArray[Any]] = {"PIXELS": np.ascontiguousarray(piece), "SCALE": np.array([SCALE], np.int32)}
        return await _pixels(self._triton, "classical_upscale", inputs)

    async def put_input(self, content: bytes) -> None:
        """The picture that is enlarged."""
        await self._s3.put_object(Bucket=self._bucket, Key="bench/input", Body=content)

    async def _store(self, picture: NDArray[np.uint8], form: str) -> None:
        encoded = await asyncio.get_running_loop().run_in_executor(self._threads, _encoded, picture, form)
        self._number += 1
        key = f"{self._prefix}/{form}/{self._number}"
        await self._s3.put_object(Bucket=self._bucket, Key=key, Body=encoded, ContentType=f"image/{form.lower()}")


async def run_bare(
    settings: Settings,
    kind: Kind,
    content: bytes,
    round_number: int,
    run_s: float,
    *,
    in_flight: int = IN_FLIGHT,
    least: int = LEAST_JOBS,
) -> Figure:
    """One round, by default at a dispatcher's concurrency: jobs a second, and CPU of this process a job."""
    access = settings.s3
    s3 = aioboto3.Session().client(
        "s3",
        endpoint_url=access.endpoint_url,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key.get_secret_value(),
        config=AioConfig(
            max_pool_connections=64,
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    async with s3 as opened, InferenceServerClient(settings.triton_urls[0]) as triton:
        loop = BareLoop(opened, triton, access.bucket, round_number, kind)
        await loop.put_input(content)
        return await in_turns(loop.job, run_s, in_flight, least)


async def test_card(triton: InferenceServerClient, seed: int) -> NDArray[np.uint8]:
    """The call of a trivial model."""
    return await _pixels(triton, TEST_CARD, {"SEED": np.array([[seed]], np.int32)})


async def _pixels(triton: InferenceServerClient, model: str, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    sent = []
    for name, values in inputs.items():
        sent.append(InferInput(name, values.shape, np_to_triton_dtype(values.dtype)))
        sent[-1].set_data_from_numpy(values)
    answer: NDArray[np.uint8] = (await triton.infer(model, sent)).as_numpy("PIXELS")
    return answer


async def in_turns(job: Callable[[], Awaitable[object]], run_s: float, in_flight: int, least: int) -> Figure:
    """Count what ends in `run_s` after the warm-up, and on until there are enough to speak of."""
    done, is_over = 0, False

    async def work() -> None:
        nonlocal done
        while not is_over:  # a cancel is lost in asyncio.wait_for where the call has just ended
            await job()
            done += 1

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(in_flight)]
        await asyncio.sleep(WARM_S)
        before, cpu, started = done, time.process_time(), time.perf_counter()
        await asyncio.sleep(run_s)
        while done - before < least:
            await asyncio.sleep(0.02)
        count, seconds, used = done - before, time.perf_counter() - started, time.process_time() - cpu
        is_over = True
        for worker in workers:
            worker.cancel()
    return Figure(count / seconds, 1e6 * used / count)


def _decoded(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as picture:
        return np.pad(np.asarray(picture.convert("RGB")), ((HALO, HALO), (HALO, HALO), (0, 0)), mode="edge")


def _encoded(picture: NDArray[np.uint8], form: str) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if form == "JPEG":
        image.save(buffer, form, quality=92, subsampling=0)
    elif form == "WEBP":
        image.save(buffer, form, quality=92, method=4)
    else:
        image.save(buffer, form, compress_level=1)
    return buffer.getvalue()
