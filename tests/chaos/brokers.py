"""Three brokers on this machine: every topic has three replicas, and a write needs two of them.

Made of the local stack's own broker settings, so that only what replication asks for differs.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.component import kafka_answers
from infra.local.kafka import Listeners, broker_settings, kafka_command
from infra.local.ports import free_ports
from infra.local.process import Child, Command, inherited, run_as
from infra.settings import KafkaSettings, Settings

BROKERS = 3
_HOST = "127.0.0.1"
_STARTS_WITHIN_S = 120.0
_STOPS_WITHIN_S = 30.0
_REPLICATED = {
    "default.replication.factor": BROKERS,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": BROKERS,
    "transaction.state.log.replication.factor": BROKERS,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.replication.factor": BROKERS,
    "share.coordinator.state.topic.min.isr": 2,
    # A follower that is gone must leave the replicas in sync soon, or each write waits for it.
    "replica.lag.time.max.ms": 3_000,
}


@dataclass
class Brokers:
    """Nodes 1 to 3, each broker and controller, with their logs below ``folder``."""

    folder: Path
    listeners: dict[int, Listeners]
    _children: dict[int, Child] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        servers = ",".join(f"{_HOST}:{one.port}" for one in self.listeners.values())
        return Settings(kafka=KafkaSettings(bootstrap_servers=servers), replication_factor=BROKERS)

    def format(self) -> None:
        """Make each node's log directory, of one cluster."""
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode("ascii").replace("-", "A")
        voters = ",".join(f"{node}@{_HOST}:{one.controller_port}" for node, one in self.listeners.items())
        for node, listeners in self.listeners.items():
            folder = self.folder / str(node)
            folder.mkdir(parents=True)
            own = {"node.id": node, "controller.quorum.voters": voters}
            rows = {**broker_settings(folder / "log", listeners), **_REPLICATED, **own}
            self._file(node).write_text("".join(f"{name}={value}\n" for name, value in rows.items()), encoding="utf-8")
            tool = kafka_command("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._file(node)))
            done = run_as(Command((*tool, "--feature", "transaction.version=2"), inherited()))
            assert done.returncode == 0, done.stderr or done.stdout

    def begin(self, node: int) -> None:
        """Start a node, and do not wait for it."""
        command = Command(kafka_command("kafka.Kafka", str(self._file(node))), inherited(drop=("KAFKA_OPTS",)))
        self._children[node] = Child(command, self.folder / f"{node}.log")

    async def until_answers(self, node: int) -> None:
        async with asyncio.timeout(_STARTS_WITHIN_S):
            while not await kafka_answers(_HOST, self.listeners[node].port):
                assert self._children[node].returncode is None, (
                    f"broker {node} ended: see {self.folder / str(node)}.log"
                )
                await asyncio.sleep(0.1)

    async def kill(self, node: int) -> None:
        """kill -9; nobody starts it again but `begin`."""
        self._children[node].signal_group(signal.SIGKILL)
        await self._children[node].wait()

    async def stop(self) -> None:
        """End all that run."""
        for child in self._children.values():
            child.signal_group(signal.SIGKILL)
        async with asyncio.timeout(_STOPS_WITHIN_S):
            await asyncio.gather(*(child.wait() for child in self._children.values()))

    def _file(self, node: int) -> Path:
        return self.folder / str(node) / "server.properties"


@asynccontextmanager
async def three_brokers(folder: Path) -> AsyncIterator[Brokers]:
    """A cluster that answers, until the end of the context."""
    ports = free_ports(2 * BROKERS)
    nodes = range(1, BROKERS + 1)
    brokers = Brokers(folder, {node: Listeners(ports[2 * node - 2], ports[2 * node - 1]) for node in nodes})
    await asyncio.to_thread(brokers.format)
    try:
        for node in nodes:
            brokers.begin(node)
        for node in nodes:
            await brokers.until_answers(node)
        yield brokers
    finally:
        await brokers.stop()
