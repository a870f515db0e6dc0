"""Calls of a model through the engine that dispatchers use, beside the same calls by the gRPC client alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from tritonclient.grpc.aio import InferenceServerClient

from infra.triton.client import open_engine
from tests.bench.bare_jobs import TEST_CARD, in_turns, test_card
from tests.bench.measure import Figure, pair
from tests.bench.station import Bench, Station

SEED = 7
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


async def _through_the_engine(urls: Sequence[str]) -> Figure:
    inputs = {"SEED": np.array([[SEED]], np.int32)}
    async with open_engine(urls) as engine:
        return await in_turns(lambda: engine.infer(TEST_CARD, "", inputs, TIMEOUT_S), RUN_S, IN_FLIGHT, LEAST)


async def _by_the_client(url: str) -> Figure:
    async with InferenceServerClient(url) as client:
        return await in_turns(lambda: test_card(client, SEED), RUN_S, IN_FLIGHT, LEAST)
