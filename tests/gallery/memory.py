"""What a large picture costs Triton: `python -m tests.gallery.memory [MEGAPIXELS]` (a minute and more on two cores).

Enlarges a picture of 12 megapixels four times and runs the filters over it, while the memory of tritonserver and all
its model processes is watched: resident sets added up, so that what they share counts several times.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from infra.triton.client import open_engine
from tests.gallery.engines import Engines, entry_of
from tests.gallery.pictures import noisy, photograph
from tests.servers import LocalServers

BOUND_MIB = 1024
WORK: tuple[tuple[str, dict[str, object]], ...] = (
    ("classical/upscale", {"scale": 4}),
    ("classical/denoise", {}),
    ("classical/restore", {}),
    ("classical/colorize", {}),
    ("classical/stylize", {"style": "watercolor"}),
    ("classical/stylize", {"style": "flat"}),
    ("classical/stylize", {"style": "oil"}),
    ("classical/sharpen", {"mode": "faces"}),
    ("classical/background", {}),
)


def resident_mib(pid: int) -> float:
    """The resident sets of a server and its children."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            continue
    return total


@asynccontextmanager
async def watched(pid: int) -> AsyncIterator[list[float]]:
    """Collect samples of the memory while the block runs."""
    samples = [resident_mib(pid)]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.1)
            samples.append(resident_mib(pid))

    task = asyncio.create_task(watch())
    try:
        yield samples
    finally:
        task.cancel()


async def main(megapixels: float) -> int:
    side = round((megapixels * 1e6 / 6) ** 0.5)
    large = Image.fromarray(photograph()).resize((side * 3, side * 2), Image.Resampling.BICUBIC)
    picture = noisy(np.asarray(large), 6.0)
    most = 0.0
    with tempfile.TemporaryDirectory() as folder:
        servers = LocalServers(Path(folder))
        try:
            settings = await asyncio.to_thread(servers.need, "triton")
            print(f"idle: {resident_mib(servers.pid('triton')):.0f} MiB")
            async with open_engine(settings.triton_urls) as engine:
                for slug, params in WORK:
                    began = time.perf_counter()
                    async with watched(servers.pid("triton")) as samples:
                        made = await Engines(engine).product(entry_of(slug), picture, None, params)
                        made.close()
                    most = max(most, *samples)
                    print(f"{slug} {params}: {max(samples):.0f} MiB at most, {time.perf_counter() - began:.1f} s")
        finally:
            await asyncio.to_thread(servers.stop)
    print(f"at most {most:.0f} MiB, bound {BOUND_MIB}")
    return int(most > BOUND_MIB)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 12.0)))
