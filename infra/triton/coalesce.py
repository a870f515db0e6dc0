"""Calls that wait for the same model are joined into one, row after row, and its answer is split again.

Theory of operation
-------------------
Calls belong together when model, version and everything but the first axis of every input agree. As many calls of such
a group are under way as the model has instances; the next ones wait, and when one ends, those that wait go together,
up to the rows that the model's configuration allows. There is no timer: a lone call goes at once and alone, and only
a busy model makes batches. What a model does not declare as batched (`max_batch_size`) passes untouched; a model that
does declares with it that the shapes of its inputs settle the shape of its answer.

A failure of a joined call says nothing about each of its members: a failure for good or for now is asked again for
each alone, a crash and an absence are everybody's (a crash is suspicion, not yet blame).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import copy_context
from typing import Protocol

import numpy as np

from infra.triton import metrics
from infra.triton.connection import Batching
from infra.triton.engine import Engine, PermanentFailure, Tensors, TransientFailure

_Key = tuple[object, ...]


class BatchingEngine(Engine, Protocol):
    """An engine that knows which of its models take several requests in one call."""

    async def batching(self, model: str, version: str) -> Batching:
        """What the model declares; `Batching()` where it declares nothing."""
        ...


class _Waiting:
    """A call that has not gone yet; `answer` is done when somebody has sent it."""

    def __init__(self, inputs: Tensors, timeout_s: float) -> None:
        self.inputs, self.timeout_s = inputs, timeout_s
        self.rows = _rows(inputs)
        self.context = copy_context()
        self.answer: asyncio.Future[Tensors] = asyncio.get_running_loop().create_future()


class _Group:
    def __init__(self) -> None:
        self.under_way = 0
        self.waiting: deque[_Waiting] = deque()


class CoalescingEngine:
    """`Engine` over another one."""

    def __init__(self, engine: BatchingEngine) -> None:
        self._engine = engine
        self._groups: dict[_Key, _Group] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        batching = await self._engine.batching(model, version)
        if batching.rows_max < 2 or not _has_rows(inputs):
            return await self._engine.infer(model, version, inputs, timeout_s)
        key = (model, version, *((name, one.dtype.str, one.shape[1:]) for name, one in sorted(inputs.items())))
        group = self._groups.setdefault(key, _Group())
        call = _Waiting(inputs, timeout_s)
        group.waiting.append(call)
        self._send_on(model, version, key, group, batching)
        try:
            async with asyncio.timeout(timeout_s):
                return await call.answer
        except TimeoutError as error:
            raise TransientFailure(f"{model} did not answer within {timeout_s:g} s") from error

    async def ready(self) -> bool:
        return await self._engine.ready()

    def _send_on(self, model: str, version: str, key: _Key, group: _Group, batching: Batching) -> None:
        """Send what waits as far as instances are free."""
        while group.under_way < batching.instances:
            calls = _together(group.waiting, batching.rows_max)
            if not calls:
                break
            group.under_way += 1
            sending = asyncio.create_task(self._send(model, version, calls), context=calls[0].context)
            self._sending.add(sending)
            sending.add_done_callback(lambda task: self._sent(task, model, version, key, group, batching))
        if not group.under_way and not group.waiting:
            self._groups.pop(key, None)

    def _sent(
        self, task: asyncio.Task[None], model: str, version: str, key: _Key, group: _Group, batching: Batching
    ) -> None:
        self._sending.discard(task)
        group.under_way -= 1
        self._send_on(model, version, key, group, batching)

    async def _send(self, model: str, version: str, calls: Sequence[_Waiting]) -> None:
        longest_s = max(call.timeout_s for call in calls)
        try:
            answer = await self._engine.infer(model, version, _joined(calls), longest_s)
            parts = _split(answer, calls) if len(calls) > 1 else [answer]
        except (PermanentFailure, TransientFailure) as failure:
            if len(calls) == 1:
                _settle(calls[0], failure)
                return
            await asyncio.gather(*(self._send(model, version, [call]) for call in calls if not call.answer.done()))
        except Exception as failure:
            for call in calls:
                _settle(call, failure)
        else:
            metrics.JOINED.labels(model).inc(len(calls) - 1)
            for call, part in zip(calls, parts, strict=True):
                _settle(call, part)


def _has_rows(inputs: Tensors) -> bool:
    """Whether all inputs have the same number of rows along their first axis."""
    return len({array.shape[0] if array.ndim else -1 for array in inputs.values()} - {-1}) == 1


def _rows(inputs: Tensors) -> int:
    return int(next(iter(inputs.values())).shape[0])


def _together(waiting: deque[_Waiting], rows_max: int) -> list[_Waiting]:
    """Take from the head what fits into one call; at least one, and nothing whose caller has gone."""
    taken: list[_Waiting] = []
    rows = 0
    while waiting and (not taken or rows + waiting[0].rows <= rows_max):
        call = waiting.popleft()
        if not call.answer.done():
            taken.append(call)
            rows += call.rows
    return taken


def _joined(calls: Sequence[_Waiting]) -> Tensors:
    if len(calls) == 1:
        return calls[0].inputs
    return {name: np.concatenate([call.inputs[name] for call in calls]) for name in calls[0].inputs}


def _split(answer: Tensors, calls: Sequence[_Waiting]) -> list[Tensors]:
    """Each call's rows of the answer. Raises TransientFailure where the answer has other rows than were asked."""
    total = sum(call.rows for call in calls)
    if any(not output.ndim or output.shape[0] != total for output in answer.values()):
        raise TransientFailure("the engine answered another number of rows than it was asked")
    ends = np.cumsum([call.rows for call in calls])
    return [
        {name: output[end - call.rows : end] for name, output in answer.items()}
        for call, end in zip(calls, ends, strict=True)
    ]


def _settle(call: _Waiting, outcome: Tensors | Exception) -> None:
    if call.answer.done():
        return
    if isinstance(outcome, Exception):
        call.answer.set_exception(outcome)
    else:
        call.answer.set_result(outcome)
