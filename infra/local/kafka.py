"""Kafka as a child: one node that is broker and controller (KRaft), Transactions V2, small buffers.

A single broker does not flush each message: killing the process loses nothing, losing power may lose the last
moments. Clusters replicate instead.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from infra.local.component import Component, kafka_answers, nothing
from infra.local.errors import LocalError
from infra.local.java import ASSETS, java_command
from infra.local.process import Command, inherited, run_as

HEAP_MIB = 384
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Listeners:
    """Ports of the broker and of its controller; where there is a detour, one of the broker's for those who take it.

    A broker tells clients of its second listener to come to ``detour_port``, where a proxy listens.
    """

    port: int
    controller_port: int
    second_port: int | None = None
    detour_port: int | None = None


def kafka_component(
    folder: Path, listeners: Listeners, when_healthy: Callable[[], Awaitable[None]] = nothing
) -> Component:
    """Kafka with its log in ``folder``; ``when_healthy`` makes the topics."""

    async def command() -> Command:
        await asyncio.to_thread(_prepare, folder, listeners)
        return Command(kafka_command("kafka.Kafka", str(folder / "server.properties")), inherited(drop=("KAFKA_OPTS",)))

    return Component(
        name="kafka",
        endpoint=f"{_HOST}:{listeners.port}",
        command=command,
        healthy=lambda: kafka_answers(_HOST, listeners.port),
        memory_cap_bytes=1 << 30,
        when_healthy=when_healthy,
        stop_limit_s=15.0,
    )


def _prepare(folder: Path, listeners: Listeners) -> None:
    """Write the settings, and format the log directory at the first start."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "server.properties"
    rows = (f"{name}={value}" for name, value in broker_settings(folder / "log", listeners).items())
    settings.write_text("\n".join(rows) + "\n", encoding="utf-8")
    if (folder / "log" / "meta.properties").exists():
        return
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode("ascii").replace("-", "A")
    tool = kafka_command(
        "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(settings), "--ignore-formatted"
    )
    done = run_as(Command((*tool, "--feature", "transaction.version=2"), inherited()))
    if done.returncode != 0:
        raise LocalError(f"Kafka's log directory cannot be formatted: {(done.stderr or done.stdout).strip()[-300:]}")


def kafka_command(*main: str) -> tuple[str, ...]:
    """The command line of one of Kafka's programs."""
    properties = {"log4j2.configurationFile": (ASSETS / "kafka-log4j2.properties").as_uri()}
    return java_command("kafka.jars", HEAP_MIB, properties, main)


def broker_settings(log: Path, listeners: Listeners) -> dict[str, object]:
    """``server.properties`` of a node that is broker and controller, alone."""
    controller_port, bound = listeners.controller_port, [f"PLAINTEXT://{_HOST}:{listeners.port}"]
    advertised = list(bound)
    if listeners.detour_port is not None:
        bound.append(f"DETOUR://{_HOST}:{listeners.second_port}")
        advertised.append(f"DETOUR://{_HOST}:{listeners.detour_port}")
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{_HOST}:{controller_port}",
        "listeners": ",".join([*bound, f"CONTROLLER://{_HOST}:{controller_port}"]),
        "advertised.listeners": ",".join(advertised),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log,
        # Topics are made by the program that knows their settings, never by a typing error.
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "transaction.max.timeout.ms": 120_000,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # A dead member's partitions must move on within three seconds.
        "group.min.session.timeout.ms": 1_000,
        "group.initial.rebalance.delay.ms": 0,
        "group.coordinator.append.linger.ms": 0,
        # After kill -9 a broker may register again only when its former session has ended (default 9 s).
        "broker.session.timeout.ms": 2_000,
        "broker.heartbeat.interval.ms": 400,
        # One small machine.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "log.cleaner.dedupe.buffer.size": 16 << 20,
        "log.segment.bytes": 64 << 20,
        "log.index.size.max.bytes": 1 << 20,
        "offsets.topic.segment.bytes": 16 << 20,
        "transaction.state.log.segment.bytes": 16 << 20,
        "num.recovery.threads.per.data.dir": 2,
    }
