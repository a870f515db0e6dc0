"""Faults count what they really hit: on processes that do nothing, and on a broker that only echoes."""

from __future__ import annotations

import asyncio
import random
import signal
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from infra.local.layout import Layout
from tests.chaos.arena import Arena
from tests.chaos.faults import kafka_wire, processes
from tests.chaos.faults.disk import FullDisk
from tests.chaos.faults.kafka_wire import API_KEYS, KafkaDetour, Wire
from tests.chaos.faults.processes import Freeze, Kill, LoseHost, Restart
from tests.chaos.faults.registry import every_fault

IDLE = (
    sys.executable,
    "-c",
    # Whoever is started in the background by a shell without jobs ignores SIGINT, and so do its children.
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print('up', flush=True); time.sleep(600)",
)
WRITES = (
    sys.executable,
    "-c",
    "import sys, time; print('up', flush=True)\nwhile True: open(sys.argv[1], 'wb', 0).write(b'x'); time.sleep(0.05)",
)
_ENDS_WITHIN_S = 30.0


class OneProcess:
    """An arena whose every component is the same process, which nobody starts again."""

    def __init__(self, process: asyncio.subprocess.Process, data: Path) -> None:
        self.process, self.stack = process, SimpleNamespace(data=data)

    async def healthy_one(self, names: tuple[str, ...]) -> tuple[str, int]:
        return names[0], self.process.pid

    async def until_replaced(self, name: str, pid: int) -> None:
        assert await self.is_replaced(name, pid, _ENDS_WITHIN_S)

    async def is_replaced(self, name: str, pid: int, within_s: float) -> bool:
        async with asyncio.timeout(within_s):
            await self.process.wait()
        return True


async def started(data: Path, *command: str) -> OneProcess:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    return OneProcess(process, data)


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[OneProcess]:
    made = await started(tmp_path, *IDLE)
    yield made
    if made.process.returncode is None:
        made.process.kill()
    await made.process.communicate()


def test_names_are_unique_and_a_server_has_one_detour() -> None:
    faults = every_fault()
    assert len({fault.name for fault in faults}) == len(faults)
    detours = {fault.detour.server: fault.detour for fault in faults if fault.detour is not None}
    assert all(fault.detour is detours[fault.detour.server] for fault in faults if fault.detour is not None)


@pytest.mark.parametrize(
    ("fault", "signum", "count"),
    [(Kill("gateway"), signal.SIGKILL, "kill gateway"), (Restart("postgres"), signal.SIGINT, "restart postgres")],
    ids=["kill", "restart"],
)
async def test_a_process_that_was_ended_counts_and_one_that_is_gone_does_not(
    idle: OneProcess, fault: Kill | Restart, signum: signal.Signals, count: str
) -> None:
    assert (await fault.strike(cast(Arena, idle), random.Random(1))).counts == {count: 1}
    assert idle.process.returncode == -signum
    assert (await fault.strike(cast(Arena, idle), random.Random(1))).counts == {}


async def test_a_lost_host_takes_its_membership_along(idle: OneProcess) -> None:
    member = Layout(idle.stack.data).member_file("processor-0")
    member.parent.mkdir()
    member.write_text("{}")
    struck = await LoseHost("processor").strike(cast(Arena, idle), random.Random(2))
    assert struck.counts == {"lost processor": 1}
    assert [path.name for path in member.parent.iterdir()] in ([], ["processor-0.member"])
    assert idle.process.returncode == -signal.SIGKILL


async def test_a_zombie_is_stopped_and_goes_on(idle: OneProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LONGER_THAN_SESSION_S", (1.0, 1.0))
    striking = asyncio.create_task(Freeze("kafka").strike(cast(Arena, idle), random.Random(1)))
    await _until_status(idle, psutil.STATUS_STOPPED)
    assert (await striking).counts == {"zombie kafka": 1}
    await _until_status(idle, psutil.STATUS_SLEEPING)


async def test_what_is_killed_while_it_hangs_is_no_zombie(idle: OneProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LONGER_THAN_SESSION_S", (2.0, 2.0))
    striking = asyncio.create_task(Freeze("kafka").strike(cast(Arena, idle), random.Random(1)))
    await _until_status(idle, psutil.STATUS_STOPPED)
    idle.process.kill()
    await idle.process.wait()
    assert (await striking).counts == {}


async def test_where_nothing_may_be_mounted_writes_are_refused(tmp_path: Path) -> None:
    writer = await started(tmp_path, *WRITES, str(tmp_path / "file"))
    disk = FullDisk(may_mount=False)
    disk.prepare(tmp_path)
    struck = await disk.strike(cast(Arena, writer), random.Random(1))
    assert struck.counts == {"full log directory (injected write errors)": 1}
    assert writer.process.returncode != 0
    await writer.process.communicate()
    disk.clean()


@pytest.mark.parametrize("manner", ["held", "delayed", "dropped", "cut"])
@pytest.mark.parametrize("is_request", [True, False], ids=["request", "answer"])
async def test_a_chosen_request_or_answer_is_met_on_the_wire(
    monkeypatch: pytest.MonkeyPatch, manner: str, is_request: bool
) -> None:
    monkeypatch.setattr(kafka_wire, "_plan", lambda _: kafka_wire._Plan(manner, is_request, 0.0))
    monkeypatch.setattr(kafka_wire, "_AT_ONCE", (1, 1))
    detour, echoes = KafkaDetour(), set[asyncio.Task[None]]()
    async with await asyncio.start_server(partial(_echo, echoes), "127.0.0.1", 0) as broker:
        port = await detour.open(lambda: broker.sockets[0].getsockname()[1])
        striking = asyncio.create_task(Wire("EndTxn", detour).strike(cast(Any, None), random.Random(1)))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(struct.pack(">ihhi", 8, API_KEYS["Fetch"], 1, 0))
        assert (await reader.readexactly(8))[4:] == struct.pack(">i", 0)
        writer.write(struct.pack(">ihhi", 8, API_KEYS["EndTxn"], 1, 1))
        assert (await striking).counts == {f"{manner} EndTxn {'request' if is_request else 'answer'}": 1}
        await detour_ends(reader, manner)
        writer.close()
        await writer.wait_closed()
        await detour.close()
        await asyncio.wait(echoes)


async def test_what_meets_nothing_counts_nothing_and_lies_in_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_wire, "_MEETS_WITHIN_S", 0.2)
    detour, echoes = KafkaDetour(), set[asyncio.Task[None]]()
    async with await asyncio.start_server(partial(_echo, echoes), "127.0.0.1", 0) as broker:
        port = await detour.open(lambda: broker.sockets[0].getsockname()[1])
        assert (await Wire("Produce", detour).strike(cast(Any, None), random.Random(1))).counts == {}
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(struct.pack(">ihhi", 8, API_KEYS["Produce"], 1, 5))
        assert (await reader.readexactly(8))[4:] == struct.pack(">i", 5)
        writer.close()
        await writer.wait_closed()
        await detour.close()
        await asyncio.wait(echoes)


async def detour_ends(reader: asyncio.StreamReader, manner: str) -> None:
    """What comes of the chosen one: its answer after all, nothing, or the end of the connection."""
    if manner in ("held", "delayed"):
        assert (await reader.readexactly(8))[4:] == struct.pack(">i", 1)
    elif manner == "cut":
        with suppress(ConnectionResetError):
            async with asyncio.timeout(_ENDS_WITHIN_S):
                assert await reader.read() == b""
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await reader.readexactly(1)


async def _echo(echoes: set[asyncio.Task[None]], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with its correlation id."""
    echoes.add(cast("asyncio.Task[None]", asyncio.current_task()))
    try:
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            writer.write(struct.pack(">i", 4) + (await reader.readexactly(size))[4:8])
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _until_status(arena: OneProcess, status: str) -> None:
    async with asyncio.timeout(_ENDS_WITHIN_S):
        while psutil.Process(arena.process.pid).status() != status:
            await asyncio.sleep(0.02)
