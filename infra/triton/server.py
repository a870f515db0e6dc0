"""One server as the balancer sees it: its load, whether it is reachable, a breaker for each model, dead instances.

Theory of operation
-------------------
Reachable or not is a fact about the server; a health probe finds it out and a call that got no connection tells it at
once. Everything else is a fact about one model there and stands in its breaker (`breaker`).

Triton 2.51 does not start the process of a Python model's instance again when it has died: the instance stays, takes
its share of the calls and fails each of them after a second, until the model is unloaded and loaded. So the first call
that meets a dead instance counts as its crash and starts a repair: the breaker stays open until the model is loaded
anew, which takes the server to run with `--model-control-mode=explicit`. A call that was sent after the death was
known and still met the dead instance was never run: EngineUnavailable, and no suspicion.

A repair may be cut off: by the server's own death, which has it tried again with the next call, or by ours, between
unloading and loading. So a model that is refused again and again is looked up, and loaded where it is missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from infra.logs import get_logger
from infra.triton import breaker as circuit
from infra.triton import metrics
from infra.triton.breaker import Breaker
from infra.triton.connection import Batching, Connection, Faulty, NotControlled
from infra.triton.engine import EngineUnavailable, Tensors
from infra.triton.faults import Fault

_PHASES = {"closed": 0, "half-open": 1, "open": 2}
_UNCONTROLLED_S = 600.0
_REPAIR_AGAIN_S = 2.0
_REFUSALS_TO_LOOK = 3
_LOAD_UNIT_BYTES = 1 << 20
_log = get_logger(__name__)


class Server:
    """A server behind its connection; `clock` gives seconds of a monotonic clock."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self.connection = connection
        self.reachable = True
        self.load = 0.0
        self.last_turn = 0
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}
        self._dead: dict[tuple[str, str], float] = {}
        self._repairs: dict[str, asyncio.Task[None]] = {}
        self._uncontrolled_until_s = 0.0
        self._repair_from_s: dict[str, float] = {}
        self._batching: dict[tuple[str, str], Batching] = {}

    def serves(self, model: str) -> bool:
        """Whether a call of the model may be sent there now."""
        if not self.reachable or model in self._repairs:
            return False
        return circuit.lets_pass(self._breaker(model), self._clock())

    async def infer(self, model: str, version: str, inputs: Tensors) -> Tensors:
        """Send one call, and learn from how it ends. Raises the engine's failures."""
        sent_s = self._clock()
        self._keep(model, circuit.after_start(self._breaker(model), sent_s))
        weight = weight_of(inputs)
        self.load += weight
        try:
            answer = await self.connection.infer(model, version, inputs)
        except Faulty as faulty:
            self._learn(model, faulty.fault, sent_s)
            raise faulty.fault.error from faulty
        finally:
            self.load -= weight
        self._keep(model, circuit.after_success(self._breaker(model)))
        return answer

    def gave_no_answer(self, model: str) -> None:
        """A caller ran out of time."""
        self._keep(model, circuit.after_fault(self._breaker(model), self._clock()))

    async def look(self) -> None:
        """Probe the server; one that is back begins with closed breakers."""
        live = await self.connection.live()
        if live and not self.reachable:
            self._breakers.clear()
            self._dead.clear()
            self._batching.clear()
        if live != self.reachable:
            _log.warning("triton-server-back" if live else "triton-server-away", server=self.connection.url)
        self.reachable = live
        metrics.REACHABLE.labels(self.connection.url).set(live)

    async def batching(self, model: str, version: str) -> Batching:
        """What the model declares; asked once."""
        known = self._batching.get((model, version))
        if known is None:
            known = self._batching[model, version] = await self.connection.batching(model, version)
        return known

    async def close(self) -> None:
        """End repairs, then the connection."""
        for repair in self._repairs.values():
            repair.cancel()
        await asyncio.gather(*self._repairs.values(), return_exceptions=True)
        await self.connection.close()

    def _learn(self, model: str, fault: Fault, sent_s: float) -> None:
        """Draw the conclusions of a failed call. Raises EngineUnavailable where it met an instance known as dead."""
        now_s, before = self._clock(), self._breaker(model)
        match fault.kind:
            case "unconnected":
                self.reachable = False
                metrics.REACHABLE.labels(self.connection.url).set(0)
            case "refused":
                self._refused(model, circuit.after_refusal(before, now_s))
            case "answered":
                self._keep(model, circuit.after_success(before))
            case "lost":
                self.reachable = False
                metrics.REACHABLE.labels(self.connection.url).set(0)
                self._crashed(model, before)
            case "stub-died":
                self._instance_died(model, fault.instance or "", sent_s)

    def _instance_died(self, model: str, instance: str, sent_s: float) -> None:
        died_s = self._dead.setdefault((model, instance), self._clock())
        self._start_repair(model)
        if sent_s > died_s:
            self._keep(model, circuit.after_refusal(self._breaker(model), self._clock()))
            raise EngineUnavailable(f"the instance of {model} that had the call was dead before", "instance-dead")
        self._crashed(model, self._breaker(model))

    def _crashed(self, model: str, before: Breaker) -> None:
        metrics.CRASHES.labels(self.connection.url, model).inc()
        self._keep(model, circuit.after_fault(before, self._clock()))

    def _refused(self, model: str, after: Breaker) -> None:
        self._keep(model, after)
        if after.openings >= _REFUSALS_TO_LOOK:
            self._start_repair(model, missing=True)

    def _start_repair(self, model: str, *, missing: bool = False) -> None:
        may_from_s = max(self._uncontrolled_until_s, self._repair_from_s.get(model, 0.0))
        if model in self._repairs or self._clock() < may_from_s:
            return
        repair = asyncio.create_task(self._repair(model, missing), name=f"reload {model}")
        self._repairs[model] = repair
        repair.add_done_callback(lambda _: self._repairs.pop(model, None))

    async def _repair(self, model: str, missing: bool) -> None:
        """Load the model anew, or, where it is taken to be `missing`, look and load it if it is."""
        url = self.connection.url
        try:
            if missing and model in await self.connection.loaded():
                return
            if not missing:
                await self.connection.unload(model)
            await self.connection.load(model)
        except NotControlled as error:
            now_s = self._clock()
            if error.is_for_good:
                self._uncontrolled_until_s = now_s + _UNCONTROLLED_S
            self._repair_from_s[model] = now_s + _REPAIR_AGAIN_S
            metrics.RELOADS.labels(url, model, "failed").inc()
            _log.error("model-not-reloaded", server=url, model=model, reason=str(error))
            return
        self._dead = {place: at for place, at in self._dead.items() if place[0] != model}
        self._keep(model, circuit.after_repair(self._breaker(model), self._clock()))
        metrics.RELOADS.labels(url, model, "done").inc()
        _log.warning("model-reloaded", server=url, model=model)

    def _breaker(self, model: str) -> Breaker:
        return self._breakers.get(model, Breaker())

    def _keep(self, model: str, changed: Breaker) -> None:
        if self._breakers.get(model) == changed:
            return
        self._breakers[model] = changed
        now = circuit.phase(changed, self._clock())
        metrics.BREAKER.labels(self.connection.url, model).set(_PHASES[now])


def weight_of(inputs: Tensors) -> float:
    """What a call weighs on its server: one, and one more for each MiB that it carries."""
    return 1.0 + sum(array.nbytes for array in inputs.values()) / _LOAD_UNIT_BYTES
