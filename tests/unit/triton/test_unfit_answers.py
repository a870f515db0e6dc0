"""Answers of Triton that no tensors can be made of: the model has answered, and the attempt has failed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from infra.triton.breaker import OPEN_S_MAX
from infra.triton.connection import Connection, Faulty
from infra.triton.engine import EngineUnavailable, TransientFailure
from infra.triton.server import Server

SEED = {"SEED": np.zeros((1, 1), np.int32)}


class Model(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call with `length` bytes for a tensor of 18; with None it is not served."""

    def __init__(self) -> None:
        self.length: int | None = 18

    def service(self, details: Any) -> Any:
        async def handle(_: bytes, context: Any) -> bytes:
            if self.length is None:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the model is not ready")
            message: Any = service_pb2.ModelInferResponse(model_name="m")
            output = message.outputs.add()
            output.name, output.datatype = "PIXELS", "UINT8"
            output.shape.extend([3, 2, 3])
            message.raw_output_contents.append(bytes(self.length or 0))
            return bytes(message.SerializeToString())

        return grpc.unary_unary_rpc_method_handler(handle)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Model, str]]:
    """A model and where it is served."""
    model, server = Model(), grpc.aio.server()
    server.add_generic_rpc_handlers((model,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield model, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.mark.parametrize("length", [0, 9, 19])
async def test_too_few_or_too_many_bytes_are_a_failure_that_may_pass(served: tuple[Model, str], length: int) -> None:
    model, url = served
    connection = Connection(url)
    assert (await connection.infer("m", "1", SEED))["PIXELS"].shape == (3, 2, 3)
    model.length = length
    with pytest.raises(Faulty) as met:
        await connection.infer("m", "1", SEED)
    assert isinstance(met.value.fault.error, TransientFailure)
    await connection.close()


async def test_a_probe_that_is_answered_so_lets_the_next_call_pass(served: tuple[Model, str]) -> None:
    """The breaker hears of every end of a call: else a probe would keep the model away until it is taken for lost."""
    model, url = served
    now_s = 0.0
    server = Server(Connection(url), lambda: now_s)
    model.length = None
    with pytest.raises(EngineUnavailable):
        await server.infer("m", "1", SEED)
    assert not server.serves("m")
    now_s, model.length = OPEN_S_MAX, 9
    with pytest.raises(TransientFailure):
        await server.infer("m", "1", SEED)
    assert server.serves("m")
    await server.close()
