"""Keeps a set of components running until told to stop.

Theory of operation. One task a component, started side by side; a task waits only for the components that its own
comes ``after``. A component is starting, healthy or down. It is started, asked for its health every 50 ms, and once
healthy every 2 s. When its process ends unasked, when it exceeds its memory cap, or when it has been unhealthy for a
minute, its group is killed, ``on_death`` runs, and it starts again after a backoff that doubles from 0.2 s to 10 s and
falls back after 30 s of health. Others are left alone: they reconnect by themselves. A component that fails to become
healthy three times before the whole stack was ever healthy ends the stack with one sentence. Stopping sends the stop
signals in reverse order of dependency, waits for each level's deadline, then kills.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from infra.errors import OperatorError
from infra.local.component import Component
from infra.local.errors import LocalError
from infra.local.memory import resident_bytes
from infra.local.process import Child

State = Literal["waiting", "starting", "healthy", "down", "stopped"]
Observer = Callable[[str, State], None]

_FIRST_STARTS = 3
_BACKOFF_S = (0.2, 10.0)
_CALM_AFTER_S = 30.0
_CHECK_EVERY_S = 2.0
_HUNG_AFTER_S = 60.0
_PREPARING_LIMIT_S = 60.0
_FAREWELL_LIMIT_S = 5.0
_CANCEL_AGAIN_S = 0.5
_LOG_BYTES = 16 << 20


@dataclass
class _Kept:
    """What the supervisor remembers of one component."""

    component: Component
    log: Path
    state: State = "waiting"
    child: Child | None = None
    restarts: int = 0


@dataclass(frozen=True)
class Row:
    """One line of the status table."""

    name: str
    pid: int | None
    endpoint: str
    healthy: bool
    restarts: int


class Supervisor:
    """Runs ``components`` with their logs in ``logs``; ``observer`` hears of every change of state."""

    def __init__(self, components: Sequence[Component], logs: Path, observer: Observer = lambda _n, _s: None) -> None:
        self._kept = {c.name: _Kept(c, logs / f"{c.name}.log") for c in components}
        self._observer = observer
        self._changed = asyncio.Condition()
        self._all_were_healthy = False
        self._stopping = False
        logs.mkdir(parents=True, exist_ok=True)

    def rows(self) -> tuple[Row, ...]:
        """The components in the order given."""
        return tuple(
            Row(
                k.component.name,
                k.child.pid if k.child else None,
                k.component.endpoint,
                k.state == "healthy",
                k.restarts,
            )
            for k in self._kept.values()
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Keep everything running until ``stop`` is set; then stop all. Raises `LocalError` where a start fails."""
        tasks = [asyncio.create_task(self._keep(kept), name=kept.component.name) for kept in self._kept.values()]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping = True
            await _ended((stopped, *tasks))
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop_all()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def all_healthy(self) -> None:
        """Return when every component is healthy at once."""
        async with self._changed:
            await self._changed.wait_for(lambda: all(k.state == "healthy" for k in self._kept.values()))
        self._all_were_healthy = True

    async def _keep(self, kept: _Kept) -> None:
        await self._wait_for(kept.component.after)
        backoff_s, failures = _BACKOFF_S[0], 0
        while True:
            started = time.monotonic()
            became_healthy = await self._live_once(kept)
            failures = 0 if became_healthy else failures + 1
            if failures >= _FIRST_STARTS and not self._all_were_healthy:
                raise LocalError(self._no_start(kept))
            kept.restarts += 1
            if became_healthy and time.monotonic() - started > _CALM_AFTER_S:
                backoff_s = _BACKOFF_S[0]
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_S[1])

    async def _live_once(self, kept: _Kept) -> bool:
        """Start, watch, and clean up after one life of the component; whether it ever was healthy."""
        _rotate(kept.log)
        child = kept.child = await self._spawn(kept)
        if child is None:
            return False
        await self._set(kept, "starting")
        became_healthy = False
        try:
            became_healthy = await self._until_healthy(kept, child)
            if became_healthy:
                await self._set(kept, "healthy")
                await self._until_ill(kept, child)
        finally:
            if not self._stopping:
                child.signal_group(signal.SIGKILL)
                await child.wait()
                kept.child = None
        await self._set(kept, "down")
        await self._hook(kept, kept.component.on_death, _FAREWELL_LIMIT_S)
        return became_healthy

    async def _spawn(self, kept: _Kept) -> Child | None:
        try:
            return Child(await kept.component.command(), kept.log)
        except (OSError, OperatorError) as error:
            if isinstance(error, OperatorError) and not self._all_were_healthy:
                raise
            _note(kept.log, f"it could not be started: {error}")
            return None

    async def _until_healthy(self, kept: _Kept, child: Child) -> bool:
        deadline = time.monotonic() + kept.component.start_limit_s
        while time.monotonic() < deadline and child.returncode is None:
            if await kept.component.healthy():
                return await self._hook(kept, kept.component.when_healthy, _PREPARING_LIMIT_S)
            await _exit_or(child, 0.05)
        return False

    async def _hook(self, kept: _Kept, hook: Callable[[], Awaitable[None]], limit_s: float) -> bool:
        """Run what the composition added; whether it went well. What the operator must mend ends a first start."""
        try:
            async with asyncio.timeout(limit_s):
                await hook()
        except OperatorError as error:
            if not self._all_were_healthy:
                raise
            _note(kept.log, str(error))
        except Exception as error:  # foreign code: whatever it raises must not end the stack
            _note(kept.log, f"a step around its start or end failed: {error!r}")
            return False
        return True

    async def _until_ill(self, kept: _Kept, child: Child) -> None:
        last_healthy = time.monotonic()
        while not await _exit_or(child, _CHECK_EVERY_S):
            if await kept.component.healthy():
                last_healthy = time.monotonic()
                await self._set(kept, "healthy")
            else:
                await self._set(kept, "down")
            if time.monotonic() - last_healthy > _HUNG_AFTER_S:
                _note(kept.log, "killed: it has not answered for a minute")
                return
            used = resident_bytes(child.pid)
            if used > kept.component.memory_cap_bytes:
                _note(
                    kept.log,
                    f"killed: it used {used >> 20} MiB, its cap is {kept.component.memory_cap_bytes >> 20} MiB",
                )
                return
            _rotate(kept.log)

    async def _wait_for(self, names: Sequence[str]) -> None:
        async with self._changed:
            await self._changed.wait_for(
                lambda: all(self._kept[name].state == "healthy" for name in names if name in self._kept)
            )

    async def _set(self, kept: _Kept, state: State) -> None:
        if kept.state != state:
            kept.state = state
            self._observer(kept.component.name, state)
            async with self._changed:
                self._changed.notify_all()

    async def _stop_all(self) -> None:
        for level in reversed(_levels([k.component for k in self._kept.values()])):
            await asyncio.gather(*(self._stop_one(self._kept[name]) for name in level))

    async def _stop_one(self, kept: _Kept) -> None:
        child, component = kept.child, kept.component
        if child is not None:
            child.signal_leader(component.stop_signal)
            try:
                async with asyncio.timeout(component.stop_limit_s):
                    await child.wait()
            except TimeoutError:
                child.signal_group(signal.SIGKILL)
                await child.wait()
            child.signal_group(signal.SIGKILL)
        component.on_stop()
        kept.child = None
        await self._set(kept, "stopped")

    def _no_start(self, kept: _Kept) -> str:
        lines = kept.log.read_text(errors="replace").strip().splitlines() if kept.log.is_file() else []
        last = f' Its last line: "{lines[-1][:300]}".' if lines else ""
        return f"{kept.component.name} does not start: read {kept.log} for the reason.{last}"


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel until all have ended: a client library in a hook may swallow a cancellation, and its task goes on."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)


async def _exit_or(child: Child, seconds: float) -> bool:
    """Sleep, but no longer than the child lives; whether it has ended."""
    try:
        async with asyncio.timeout(seconds):
            await child.wait()
    except TimeoutError:
        return False
    return True


def _levels(components: Sequence[Component]) -> list[list[str]]:
    """Names grouped so that each stands in a later group than all that it comes after."""
    names = {c.name for c in components}
    placed: set[str] = set()
    levels: list[list[str]] = []
    while len(placed) < len(components):
        level = [c.name for c in components if c.name not in placed and set(c.after) & names <= placed]
        if not level:
            raise ValueError("components wait for each other in a circle")
        levels.append(level)
        placed.update(level)
    return levels


def _rotate(log: Path) -> None:
    """Keep one older log beside the current; the child's descriptor appends, so truncating in place is safe."""
    if log.is_file() and log.stat().st_size > _LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        with log.open("r+b") as file:
            file.truncate()


def _note(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"darkroom: {text}\n")
