"""A gRPC proxy that knows ModelInfer of the KServe protocol and meddles with its answers: the detour to Triton."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, cast

import grpc  # type: ignore[import-untyped]
import numpy as np
from tritonclient.grpc import service_pb2

_HOST = "127.0.0.1"
_MESSAGE_BYTES_MAX = 64 << 20
_OPTIONS = (
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
)
INFER = "/inference.GRPCInferenceService/ModelInfer"
_AWAY = ("failed to connect to all addresses", "Socket closed", "Server is shutting down", "request queue is full")

Manner = Literal["pass", "black-hole", "unavailable", "nan", "wrong-shape", "short-bytes", "no-output"]


class GrpcDetour:
    """Relays every unary call; `manner` says what becomes of inferences, `met` counts them.

    In a black hole no call is answered, probes too, until it is over; inferences that fell into it never are.
    """

    server = "triton"

    def __init__(self, seed: int = 0) -> None:
        self.manner: Manner = "pass"
        self.met: Counter[str] = Counter()
        self.turns = asyncio.Lock()
        self._draw = random.Random(seed)
        self._never = asyncio.Event()
        self._server: Any = None
        self._channel: Any = None
        self._port = 0
        self._upstream: Callable[[], int] = lambda: 0

    async def open(self, upstream: Callable[[], int]) -> int:
        """See `tests.chaos.faults.fault.Detour.open`."""
        self._upstream = upstream
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_AnyUnary(self._call),))
        port: int = self._server.add_insecure_port(f"{_HOST}:0")
        await self._server.start()
        return port

    async def close(self) -> None:
        """Let go of every call."""
        await self._server.stop(None)
        if self._channel is not None:
            await self._channel.close()

    async def begin(self, manner: str, draw: random.Random) -> None:
        """See `tests.chaos.faults.servers.Meddler`."""
        self._draw = draw
        self.manner = cast(Manner, manner)

    def end(self) -> None:
        """See `tests.chaos.faults.servers.Meddler`."""
        self.manner = "pass"

    def taken(self) -> dict[str, int]:
        """What was met since the last call."""
        met, self.met = self.met, Counter()
        return dict(met)

    async def _call(self, method: str, request: bytes, context: Any) -> bytes:
        manner = self.manner
        if manner == "black-hole":
            if method == INFER:
                self.met["inferences never answered"] += 1
                await self._never.wait()
            while self.manner == "black-hole":
                await asyncio.sleep(0.1)
        elif manner == "unavailable":
            if method == INFER:
                self.met["inferences unavailable"] += 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, self._draw.choice(_AWAY))
        answer = await self._relayed(method, request, context)
        if method == INFER and manner not in ("pass", "black-hole"):
            self.met[f"answers {manner}"] += 1
            return meddled(answer, manner)
        return answer

    async def _relayed(self, method: str, request: bytes, context: Any) -> bytes:
        port = self._upstream()
        if self._channel is None or port != self._port:
            self._port, self._channel = port, grpc.aio.insecure_channel(f"{_HOST}:{port}", options=_OPTIONS)
        try:
            answer: bytes = await self._channel.unary_unary(method)(request)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
            raise
        return answer


def meddled(answer: bytes, manner: Manner) -> bytes:
    """The bytes of a ModelInferResponse with another content than the model gave."""
    message: Any = service_pb2.ModelInferResponse.FromString(answer)
    for number, output in enumerate(message.outputs):
        raw, shape = message.raw_output_contents[number], list(output.shape)
        if manner == "nan":
            output.datatype = "FP32"
            message.raw_output_contents[number] = np.full(int(np.prod(shape)), np.nan, np.float32).tobytes()
        elif manner == "wrong-shape" and len(shape) > 1:
            output.shape[:] = [*shape[:-2], shape[-1], shape[-2]]
        elif manner == "short-bytes":
            message.raw_output_contents[number] = raw[: len(raw) // 2]
    if manner == "no-output":
        del message.outputs[:]
        del message.raw_output_contents[:]
    return bytes(message.SerializeToString())


class _AnyUnary(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Hands every method to one function."""

    def __init__(self, call: Callable[[str, bytes, Any], Any]) -> None:
        self._call = call

    def service(self, details: Any) -> Any:
        method = details.method

        async def handle(request: bytes, context: Any) -> bytes:
            answer: bytes = await self._call(method, request, context)
            return answer

        return grpc.unary_unary_rpc_method_handler(handle)
