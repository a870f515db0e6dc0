"""The supervisor: what dies comes back, what hangs or grows is killed, what is stopped is gone with its helpers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra.local import supervisor as module
from infra.local.component import Component, nothing
from infra.local.errors import LocalError
from infra.local.process import Command, inherited
from infra.local.supervisor import State, Supervisor

SLEEP = "import time; time.sleep(600)"
HELPER = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(601)']); "
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


async def _well() -> bool:
    return True


def child(
    name: str,
    program: str = SLEEP,
    *,
    healthy: Callable[[], Awaitable[bool]] = _well,
    after: tuple[str, ...] = (),
    cap_mib: int = 200,
    stop_limit_s: float = 3.0,
    on_death: Callable[[], Awaitable[None]] = nothing,
) -> Component:
    async def command() -> Command:
        return Command((sys.executable, "-c", program), inherited())

    cap = cap_mib << 20
    return Component(name, "nowhere", command, healthy, cap, after, on_death=on_death, stop_limit_s=stop_limit_s)


class Running:
    """A supervisor at work, with all that it told its observer."""

    def __init__(self, logs: Path, *components: Component) -> None:
        self.told: list[tuple[str, State]] = []
        self.supervisor = Supervisor(components, logs, lambda name, state: self.told.append((name, state)))
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(self.supervisor.run(self._stop))

    async def __aenter__(self) -> Running:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self.task

    def pid(self, name: str) -> int:
        found = {row.name: row.pid for row in self.supervisor.rows()}[name]
        assert found is not None
        return found

    def restarts(self, name: str) -> int:
        return {row.name: row.restarts for row in self.supervisor.rows()}[name]


async def until(true: Callable[[], bool], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not true():
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHECK_EVERY_S", 0.05)


async def test_what_is_killed_comes_back_and_the_hook_runs_first(tmp_path: Path) -> None:
    deaths: list[str] = []

    async def on_death() -> None:
        deaths.append("told")

    async with Running(tmp_path, child("a", on_death=on_death), child("b")) as running:
        await running.supervisor.all_healthy()
        first, other = running.pid("a"), running.pid("b")
        os.kill(first, signal.SIGKILL)
        await until(lambda: ("a", "down") in running.told)
        await running.supervisor.all_healthy()
        assert running.pid("a") != first
        assert running.pid("b") == other
        assert running.restarts("a") == 1
        assert deaths == ["told"]
    assert deaths == ["told"], "a stop that was asked for is no death"


async def test_what_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HUNG_AFTER_S", 0.2)
    well = True

    async def healthy() -> bool:
        return well

    async with Running(tmp_path, child("a", healthy=healthy)) as running:
        await running.supervisor.all_healthy()
        first = running.pid("a")
        well = False
        await until(lambda: gone(first))
        well = True
        await running.supervisor.all_healthy()
        assert running.pid("a") != first


async def test_what_passes_its_memory_cap_is_killed(tmp_path: Path) -> None:
    grower = "import time; time.sleep(0.3); kept = b'x' * (90 << 20); time.sleep(600)"
    async with Running(tmp_path, child("a", grower, cap_mib=60)) as running:
        await until(lambda: ("a", "down") in running.told)
    assert "its cap is 60 MiB" in (tmp_path / "a.log").read_text()


async def test_restarts_wait_longer_each_time(tmp_path: Path) -> None:
    async with Running(tmp_path, child("a", "import time; time.sleep(0.1)"), child("b")) as running:
        await running.supervisor.all_healthy()
        started = time.monotonic()
        await until(lambda: running.restarts("a") == 4)
        assert time.monotonic() - started > 0.2 + 0.4 + 0.8


async def test_what_never_starts_ends_the_stack_with_its_last_words(tmp_path: Path) -> None:
    async def ill() -> bool:
        return False

    running = Running(tmp_path, child("a"), child("b", "print('no such disk'); raise SystemExit(3)", healthy=ill))
    with pytest.raises(LocalError) as caught:
        await running.task
    assert str(tmp_path / "b.log") in str(caught.value)
    assert "no such disk" in str(caught.value)
    assert all(row.pid is None for row in running.supervisor.rows())


async def test_a_hook_that_fails_ends_nothing(tmp_path: Path) -> None:
    async def on_death() -> None:
        raise KeyError("no broker")

    async with Running(tmp_path, child("a", on_death=on_death)) as running:
        await running.supervisor.all_healthy()
        os.kill(running.pid("a"), signal.SIGKILL)
        await until(lambda: running.restarts("a") == 1)
        await running.supervisor.all_healthy()
    assert "no broker" in (tmp_path / "a.log").read_text()


async def test_what_the_operator_must_mend_ends_a_first_start(tmp_path: Path) -> None:
    async def command() -> Command:
        raise LocalError("The plan changed: raise its version.")

    running = Running(tmp_path, Component("a", "nowhere", command, _well, 1 << 30))
    with pytest.raises(LocalError, match="raise its version"):
        await running.task


async def test_a_stop_reaches_helpers_and_the_deaf(tmp_path: Path) -> None:
    deaf = child("deaf", DEAF + "print('deaf', flush=True); time.sleep(600)", stop_limit_s=0.5)
    async with Running(tmp_path, child("mother", HELPER + "time.sleep(600)"), deaf) as running:
        await running.supervisor.all_healthy()
        mother = psutil.Process(running.pid("mother"))
        await until(lambda: len(mother.children()) == 1 and (tmp_path / "deaf.log").read_text() != "")
        family = [running.pid("mother"), running.pid("deaf"), mother.children()[0].pid]
    await until(lambda: all(gone(pid) for pid in family))


async def test_those_that_come_after_wait_and_are_stopped_first(tmp_path: Path) -> None:
    well = False

    async def healthy() -> bool:
        return well

    async with Running(tmp_path, child("late", after=("early",)), child("early", healthy=healthy)) as running:
        await until(lambda: ("early", "starting") in running.told)
        await asyncio.sleep(0.1)
        assert running.told == [("early", "starting")]
        well = True
        await running.supervisor.all_healthy()
    order = [name for name, state in running.told if state == "stopped"]
    assert order == ["late", "early"]


async def test_a_long_log_keeps_one_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_BYTES", 1_000)
    talker = "import time\nwhile True: print('x' * 400, flush=True); time.sleep(0.02)"
    async with Running(tmp_path, child("a", talker)) as running:
        await running.supervisor.all_healthy()
        await until((tmp_path / "a.log.1").exists)
        await until(lambda: 0 < (tmp_path / "a.log").stat().st_size < 5_000)


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from tests.unit.infra.test_supervisor import Running, child
async def main():
    running = Running(Path({str(tmp_path)!r}), child("a"))
    await running.supervisor.all_healthy()
    print(running.pid("a"), flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while not gone(orphan):
        assert time.monotonic() < deadline, "the child outlived its supervisor"
        time.sleep(0.02)


async def test_a_step_that_swallows_its_cancellation_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def deaf() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    async with asyncio.timeout(20):
        async with Running(tmp_path, replace(child("one"), when_healthy=deaf)) as running:
            await begun.wait()
            pid = running.pid("one")
        await until(lambda: gone(pid))
