"""Calls of a model through the engine that dispatchers use, beside the same calls by the gRPC client alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc.aio import InferenceServerClient, InferInput

from infra.triton.client import open_engine
from tests.bench.bare_jobs import in_turns
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station

MODEL = "sandbox_echo"
IN_FLIGHT = 16
RUN_S, LEAST = 2.0, 100
TIMEOUT_S = 30.0


def measure(bench: Bench, at: Station) -> None:
    """Triton alone; both in one process, in turn."""
    at.roles()
    ours: list[Figure] = []
    bare: list[Figure] = []
    for _ in range(bench.rounds):
        ours.append(asyncio.run(_through_the_engine(at.settings.triton_urls)))
        bare.append(asyncio.run(_by_the_client(at.settings.triton_urls[0])))
    against = f"tritonclient.grpc.aio, {IN_FLIGHT} in flight"
    bench.pairs.append(pair("calls of a trivial model", "calls/s", against, 0.9, ours, bare))


def _seed() -> NDArray[np.int32]:
    return np.array([[7]], np.int32)


async def _through_the_engine(urls: Sequence[str]) -> Figure:
    async with open_engine(urls) as engine:

        async def call() -> Mapping[str, NDArray[Any]]:
            return await engine.infer(MODEL, "", {"SEED": _seed()}, TIMEOUT_S)

        return await in_turns(call, RUN_S, IN_FLIGHT, LEAST)


async def _by_the_client(url: str) -> Figure:
    async with InferenceServerClient(url) as client:

        async def call() -> NDArray[Any]:
            seed = InferInput("SEED", (1, 1), "INT32")
            seed.set_data_from_numpy(_seed())
            answer: NDArray[Any] = (await client.infer(MODEL, [seed])).as_numpy("PIXELS")
            return answer

        return await in_turns(call, RUN_S, IN_FLIGHT, LEAST)
