"""What an error of Triton means for the call that met it. Pure: status and message in, failure out.

| kind | what was met | failure | the call |
|---|---|---|---|
| unconnected | no connection to the server | EngineUnavailable | never accepted: another server may have it |
| refused | no such model, being (un)loaded, queue full | EngineUnavailable | never accepted either |
| lost | the connection ended under the call | EngineCrashed | may have run, may have killed the server |
| stub-died | the process of a Python model's instance is gone | EngineCrashed | it or one beside it may be why |
| answered | anything that the model or Triton said of the request | permanent, transient | ran |

gRPC gives UNAVAILABLE for the first three alike; they are told apart by the message. What is not known for a call that
was never accepted counts as lost: suspicion costs a job two runs in company, a crash that nobody counts would repeat
for ever. Messages of Triton 2.51 and of grpcio 1.6x and later; the tests of the port hold them against the real thing.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from infra.triton.engine import (
    EngineCrashed,
    EngineError,
    EngineUnavailable,
    PermanentFailure,
    TransientFailure,
    failure_of,
)

Kind = Literal["unconnected", "refused", "lost", "stub-died", "answered"]

_UNCONNECTED = re.compile(r"failed to connect|resolution|no address|connections? to all|connect timeout", re.IGNORECASE)
_REFUSED = re.compile(
    r"unknown model|not ready|no available versions|queue|unload|exiting|shutting down", re.IGNORECASE
)
_LOST = re.compile(r"RST_STREAM|stream removed|socket closed|connection reset|broken pipe", re.IGNORECASE)
_STUB = re.compile(r"stub process '([^']+)' is (?:not |un)healthy", re.IGNORECASE)
_BAD_REQUEST = {"StatusCode.INVALID_ARGUMENT", "StatusCode.OUT_OF_RANGE", "StatusCode.UNIMPLEMENTED"}


class Fault(msgspec.Struct, frozen=True):
    """`error` is what the caller gets; `instance` names the dead instance where a stub died."""

    kind: Kind
    error: EngineError
    instance: str | None = None


def fault_of(model: str, status: str, message: str) -> Fault:
    """Tell what became of a call of `model` that ended with this gRPC status and message."""
    stub = _STUB.search(message)
    if stub is not None:
        return Fault("stub-died", EngineCrashed(f"{model} died while it had the call"), stub[1])
    if status in ("StatusCode.NOT_FOUND", "StatusCode.CANCELLED"):
        return _refused(model)
    if status == "StatusCode.UNAVAILABLE":
        if _UNCONNECTED.search(message):
            return Fault("unconnected", EngineUnavailable("a Triton server cannot be reached", "unreachable"))
        return _refused(model) if _REFUSED.search(message) else _lost(model)
    if status in _BAD_REQUEST:
        return Fault("answered", PermanentFailure(f"Triton refused the request: {message}"))
    return _lost(model) if _LOST.search(message) else Fault("answered", failure_of(message))


def unreadable_answer(model: str) -> Fault:
    """An answer whose bytes do not make the tensors that it names: the model ran, and what it made is lost."""
    return Fault("answered", TransientFailure(f"{model} answered with tensors that cannot be read"))


def _refused(model: str) -> Fault:
    return Fault("refused", EngineUnavailable(f"a Triton server does not serve {model} now", "not-served"))


def _lost(model: str) -> Fault:
    return Fault("lost", EngineCrashed(f"the connection was lost while {model} had the call"))
