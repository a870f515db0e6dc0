"""Triton over gRPC: one client and channel per server for the life of the process.

A call in flight is never cancelled and carries no gRPC deadline: before release 24.11 Triton crashes on it
(triton-inference-server/server#7368), and no release stops a running model for it. So each call runs as a task of its
own that nobody cancels; the caller waits for it as long as it likes and then lets go. `close` lets calls end first.

Requests go round the servers; one that could not be reached is passed over for a moment while another may serve.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from tritonclient.grpc.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from infra.triton.engine import EngineError, EngineUnavailable, PermanentFailure, Tensors, TransientFailure, failure_of

_MESSAGE_BYTES_MAX = 64 << 20
_READY_TIMEOUT_S = 1.0
_PASSED_OVER_S = 0.5
_CHANNEL = [
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # gRPC gives a connection attempt this long, whatever the name says
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_UNREACHED = {"StatusCode.UNAVAILABLE", "StatusCode.NOT_FOUND", "StatusCode.CANCELLED"}
_REFUSED = {"StatusCode.INVALID_ARGUMENT", "StatusCode.OUT_OF_RANGE", "StatusCode.UNIMPLEMENTED"}


@asynccontextmanager
async def open_engine(urls: Sequence[str], closing_grace_s: float = 2.0) -> AsyncGenerator[TritonEngine]:
    """Open one client per `host:port` (`grpcs://host:port` for TLS); calls in flight end before they are closed."""
    engine = TritonEngine(urls)
    try:
        yield engine
    finally:
        await engine.close(closing_grace_s)


class TritonEngine:
    """`Engine` over one or more Triton servers."""

    def __init__(self, urls: Sequence[str]) -> None:
        assert urls, "at least one Triton server has to be named"
        self._servers = [_Server(url) for url in urls]
        self._turn = itertools.count()
        self._in_flight: set[asyncio.Task[Tensors]] = set()

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        call = asyncio.create_task(self._choose().infer(model, version, inputs))
        self._in_flight.add(call)
        call.add_done_callback(self._settled)
        try:
            return await asyncio.wait_for(asyncio.shield(call), timeout_s)
        except TimeoutError as error:
            raise TransientFailure(f"{model} did not answer within {timeout_s:g} s") from error

    async def ready(self) -> bool:
        return any(await asyncio.gather(*(server.ready() for server in self._servers)))

    async def close(self, grace_s: float) -> None:
        """Wait up to `grace_s` for calls in flight, then close the channels."""
        if self._in_flight:
            await asyncio.wait(set(self._in_flight), timeout=grace_s)
        for server in self._servers:
            await server.client.close()

    def _choose(self) -> _Server:
        now = time.monotonic()
        start = next(self._turn)
        in_turn = [self._servers[(start + i) % len(self._servers)] for i in range(len(self._servers))]
        return next((server for server in in_turn if server.passed_over_until <= now), in_turn[0])

    def _settled(self, call: asyncio.Task[Tensors]) -> None:
        self._in_flight.discard(call)
        if not call.cancelled():
            call.exception()  # seen: nobody may be waiting any more


class _Server:
    def __init__(self, url: str) -> None:
        secure = url.startswith("grpcs://")
        self.client = InferenceServerClient(url.removeprefix("grpcs://"), ssl=secure, channel_args=_CHANNEL)
        self.passed_over_until = 0.0

    async def infer(self, model: str, version: str, inputs: Tensors) -> Tensors:
        try:
            answer = await self.client.infer(model, _inputs(inputs), model_version=version)
        except InferenceServerException as error:
            failure = _failure(error)
            if isinstance(failure, EngineUnavailable):
                self.passed_over_until = time.monotonic() + _PASSED_OVER_S
            raise failure from error
        return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}

    async def ready(self) -> bool:
        try:
            return bool(await self.client.is_server_ready(client_timeout=_READY_TIMEOUT_S))
        except InferenceServerException:
            return False


def _inputs(tensors: Tensors) -> list[Any]:
    inputs = []
    for name, array in tensors.items():
        tensor = InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(np.ascontiguousarray(array))
        inputs.append(tensor)
    return inputs


def _failure(error: InferenceServerException) -> EngineError:
    status, message = error.status(), str(error.message())
    if status in _UNREACHED:
        return EngineUnavailable(f"Triton: {message}")
    if status in _REFUSED:
        return PermanentFailure(f"Triton refused the request: {message}")
    return failure_of(message)
