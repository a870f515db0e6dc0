"""The inference engine as a port, its four kinds of failure, and an engine in memory.

A model tells a failure for good from one that may pass by the first word of its error: `permanent:` or `transient:`.
What says neither is taken as transient, so that it ends after the job's attempts. That no engine took the call says
nothing about the job: it is `EngineUnavailable` and costs it no attempt. That an engine died with the call in it costs
no attempt either, but it is suspicion: `EngineCrashed` (design section 2, point 18).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The caller's name for what it asks, such as a job's attempt; engines that keep logs put it there."""

_PREFIXED = re.compile(r"\b(permanent|transient): (.*)", re.DOTALL)
_REASON_CHARACTERS_MAX = 300


class EngineError(Exception):
    """Base of the four failures; `reason` is one sentence that names no server."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EngineUnavailable(EngineError):
    """No engine took the call, so that another may have it; not the job's fault. `why` is one word for traces."""

    def __init__(self, reason: str, why: str = "unavailable") -> None:
        super().__init__(reason)
        self.why = why


class EngineCrashed(EngineError):
    """The engine died with this call in it, perhaps with others: no attempt of the job, but suspicion."""


class TransientFailure(EngineError):
    """This attempt failed; another may succeed."""


class PermanentFailure(EngineError):
    """No attempt with this input and these parameters can succeed."""


class Engine(Protocol):
    """Runs models."""

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        """Return the model's outputs by name. Raises the failures above; TransientFailure past `timeout_s`.

        A call that ran out of time or whose caller was cancelled goes on in the engine; only its answer is dropped.
        """
        ...

    async def ready(self) -> bool:
        """Tell whether some engine takes requests now; answers within about a second."""
        ...


def failure_of(message: str) -> EngineError:
    """Make the failure that a model's error message stands for."""
    found = _PREFIXED.search(message)
    if found is None:
        return TransientFailure(message[:_REASON_CHARACTERS_MAX])
    kind = PermanentFailure if found[1] == "permanent" else TransientFailure
    return kind(found[2].strip()[:_REASON_CHARACTERS_MAX])


class MemoryEngine:
    """An `Engine` whose models are plain functions; `available` False makes every call EngineUnavailable."""

    def __init__(self, models: Mapping[str, Callable[[Tensors], Tensors]]) -> None:
        self.models = dict(models)
        self.available = True
        self.calls: list[str] = []

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        self.calls.append(model)
        if not self.available:
            raise EngineUnavailable("the engine is switched off")
        if model not in self.models:
            raise EngineUnavailable(f"no engine has {model}")
        return self.models[model](inputs)

    async def ready(self) -> bool:
        return self.available
