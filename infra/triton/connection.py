"""One Triton server over gRPC: one client and one channel for the life of the process.

A call in flight is never cancelled and carries no gRPC deadline: before release 24.11 Triton crashes on it
(triton-inference-server/server#7368), and no release stops a running model for it. So each call runs as a task of its
own that nobody cancels; `InFlight` lets a caller wait for it as long as it likes and then let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import numpy as np
from tritonclient.grpc.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from infra.triton.engine import Tensors, TransientFailure, request_id
from infra.triton.faults import Fault, fault_of, unreadable_answer

_MESSAGE_BYTES_MAX = 64 << 20
_PROBE_TIMEOUT_S = 1.0
_CHANNEL = [
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # gRPC gives a connection attempt this long, whatever the name says
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Faulty(Exception):
    """A call did not succeed; `fault` says what became of it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.error.reason)
        self.fault = fault


class NotControlled(Exception):
    """The server did not load or unload the model; the message says why."""

    @property
    def is_for_good(self) -> bool:
        """Whether it was not started with explicit model control, and will never do it."""
        return "not allowed" in str(self)


class Batching(msgspec.Struct, frozen=True):
    """How a model takes several requests at once: rows along its first axis (0: none), and instances side by side."""

    rows_max: int = 0
    instances: int = 1


class Connection:
    """Calls of one server at `host:port` (`grpcs://host:port` for TLS)."""

    def __init__(self, url: str) -> None:
        self.url = url
        secure = url.startswith("grpcs://")
        self._client = InferenceServerClient(url.removeprefix("grpcs://"), ssl=secure, channel_args=_CHANNEL)

    async def infer(self, model: str, version: str, inputs: Tensors) -> Tensors:
        """Run the model once, however long it takes. Raises Faulty."""
        asked = request_id.get()
        try:
            answer = await self._client.infer(model, _inputs(inputs), model_version=version, request_id=asked)
        except InferenceServerException as error:
            raise Faulty(fault_of(model, str(error.status()), str(error.message()))) from error
        try:
            return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}
        except ValueError as error:
            raise Faulty(unreadable_answer(model)) from error

    async def live(self) -> bool:
        """Whether the server answers, with whatever models; within about a second."""
        return await self._probe(self._client.is_server_live(client_timeout=_PROBE_TIMEOUT_S))

    async def ready(self) -> bool:
        """Whether the server and all its models take requests; answers within about a second."""
        return await self._probe(self._client.is_server_ready(client_timeout=_PROBE_TIMEOUT_S))

    async def batching(self, model: str, version: str) -> Batching:
        """What the model's configuration declares; a model or server that does not say so has no batches."""
        try:
            answer = await self._client.get_model_config(model, version)
        except InferenceServerException:
            return Batching()
        config = answer.config
        return Batching(config.max_batch_size, max(1, sum(group.count for group in config.instance_group)))

    async def load(self, model: str) -> None:
        """Load the model; returns when it is ready. Raises NotControlled."""
        await self._control(self._client.load_model(model))

    async def unload(self, model: str) -> None:
        """Let no further call to the model; calls in flight end as they would have. Raises NotControlled."""
        await self._control(self._client.unload_model(model))

    async def loaded(self) -> tuple[str, ...]:
        """Names of the models that are ready. Raises NotControlled."""
        try:
            index = await self._client.get_model_repository_index()
        except InferenceServerException as error:
            raise NotControlled(str(error.message())) from error
        return tuple(model.name for model in index.models if model.state == "READY")

    async def close(self) -> None:
        """Close the channel; what is in flight fails."""
        await self._client.close()

    async def _probe(self, asked: Coroutine[Any, Any, bool]) -> bool:
        try:
            return bool(await asked)
        except InferenceServerException:
            return False

    async def _control(self, asked: Coroutine[Any, Any, None]) -> None:
        try:
            await asked
        except InferenceServerException as error:
            raise NotControlled(str(error.message())) from error


class InFlight:
    """Calls that go on whoever waits for them."""

    def __init__(self) -> None:
        self._calls: set[asyncio.Task[Tensors]] = set()

    def __len__(self) -> int:
        return len(self._calls)

    async def answer(self, model: str, call: Coroutine[Any, Any, Tensors], timeout_s: float) -> Tensors:
        """Wait for the call up to `timeout_s`, then TransientFailure; it goes on after that, and after a cancel."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._settled)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise TransientFailure(f"{model} did not answer within {timeout_s:g} s") from error

    async def ended(self, grace_s: float) -> None:
        """Wait up to `grace_s` for what is in flight."""
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=grace_s)

    def _settled(self, call: asyncio.Task[Tensors]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # seen: nobody may be waiting any more


def _inputs(tensors: Tensors) -> list[Any]:
    inputs = []
    for name, array in tensors.items():
        tensor = InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(np.ascontiguousarray(array))
        inputs.append(tensor)
    return inputs
