"""The four servers as children: they come back after a kill, keep their data over a restart, and leave nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from infra.local.component import http_answers, http_ok, kafka_answers, postgres_answers
from infra.local.layout import read_stack_file
from infra.local.stack import SERVERS
from infra.local.triton import region_prefix
from schemas.topics import COMMANDS
from tests.servers import LocalServers

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that only its owner may enter, as a stranger's home often is."""
    folder = tmp_path_factory.mktemp("private")
    folder.chmod(0o700)
    return folder / "data"


@pytest.fixture(scope="module")
def own(root: Path) -> Iterator[LocalServers]:
    """All four servers on that directory."""
    made = LocalServers(root)
    try:
        made.need(*SERVERS)
        yield made
    finally:
        made.stop()


async def _answer(servers: LocalServers, name: str) -> bool:
    stack = read_stack_file(servers.layout)
    assert stack is not None
    port = stack.ports
    if name == "kafka":
        return await kafka_answers(HOST, port["kafka"])
    if name == "s3":
        return await http_answers(HOST, port["s3"])
    if name == "postgres":
        return await postgres_answers(HOST, port["postgres"])
    return await http_ok(HOST, port["triton-http"], "/v2/health/ready")


async def test_each_comes_back_after_a_kill_while_the_others_stay(own: LocalServers) -> None:
    before = {name: own.pid(name) for name in SERVERS}
    for name in ("postgres", "triton", "s3", "kafka"):
        os.kill(before[name], signal.SIGKILL)
        async with asyncio.timeout(40):
            while psutil.pid_exists(before[name]) or not await _answer(own, name):
                await asyncio.sleep(0.05)
        assert own.pid(name) != before[name]
        before[name] = own.pid(name)
    assert {name: own.pid(name) for name in SERVERS} == before


async def test_a_stop_leaves_nothing_and_the_next_start_finds_everything(own: LocalServers, root: Path) -> None:
    connection = await asyncpg.connect(own.settings.postgres_dsn)
    await connection.execute("CREATE TABLE kept AS SELECT 'still here' AS word")
    await connection.close()
    family = [process for name in SERVERS for process in _family(own.pid(name))]
    assert len(family) > len(SERVERS)

    await asyncio.to_thread(own.stop_servers)
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert list(Path("/dev/shm").glob(f"{region_prefix(root / 'triton')}*")) == []

    await asyncio.to_thread(own.need, *SERVERS)
    connection = await asyncpg.connect(own.settings.postgres_dsn)
    assert await connection.fetchval("SELECT word FROM kept") == "still here"
    await connection.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=own.settings.kafka.bootstrap_servers)
    await admin.start()
    try:
        (topic,) = await admin.describe_topics([COMMANDS])
    finally:
        await admin.close()
    assert len(topic["partitions"]) == own.settings.partitions


def _family(pid: int) -> list[psutil.Process]:
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]
