"""AOT caches: what Kafka and S3Proxy load and link at their start, kept ready at set-up (JEP 483, 514).

Theory of operation. A JVM spends most of a server's first second on reading and linking classes. Told to, it writes
down at its end what it has loaded, and the next one with the same parts and flags maps that instead. Set-up starts each
server once in a folder that is thrown away, waits for its first answer, stops it, and moves the cache into its place in
one step. A cache that is missing, or that a JVM does not take, costs the time that it would save and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from infra.local.component import Component
from infra.local.errors import LocalError
from infra.local.java import aot_cache, makes_aot_caches
from infra.local.kafka import HEAP_MIB as KAFKA_HEAP_MIB
from infra.local.kafka import Listeners, kafka_component
from infra.local.ports import free_ports
from infra.local.process import Child
from infra.local.s3 import HEAP_MIB as S3_HEAP_MIB
from infra.local.s3 import s3_component

_START_LIMIT_S = 60.0
_WRITE_LIMIT_S = 180.0
_LOOK_EVERY_S = 0.05


def _kafka(folder: Path) -> Component:
    return kafka_component(folder, Listeners(*free_ports(2)))


def _s3(folder: Path) -> Component:
    return s3_component(folder, free_ports(1)[0], "key", "secret", "bucket")


_SERVERS: dict[str, tuple[int, Callable[[Path], Component]]] = {
    "kafka.jars": (KAFKA_HEAP_MIB, _kafka),
    "s3proxy.jars": (S3_HEAP_MIB, _s3),
}


def make_missing() -> None:
    """Make the caches that are not there. Raises `LocalError` in one sentence where a server does not start."""
    if not makes_aot_caches():
        return
    for jars, (heap_mib, server) in _SERVERS.items():
        target = aot_cache(jars, heap_mib)
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="incoming-") as scratch:
                made = asyncio.run(_trained(server(Path(scratch) / "server"), Path(scratch)))
                os.replace(made, target)


async def _trained(server: Component, scratch: Path) -> Path:
    """The cache that the server wrote at its end."""
    made, log = scratch / "made.aot", scratch / "server.log"
    (scratch / "server").mkdir()
    command = await server.command()
    program, *rest = command.argv
    child = Child(replace(command, argv=(program, f"-XX:AOTCacheOutput={made}", *rest)), log)
    try:
        async with asyncio.timeout(_START_LIMIT_S):
            while not await server.healthy() and child.returncode is None:
                await asyncio.sleep(_LOOK_EVERY_S)
        child.signal_leader(signal.SIGTERM)
        async with asyncio.timeout(_WRITE_LIMIT_S):
            await child.wait()
    except TimeoutError as error:
        raise LocalError(f"{server.name} did not start and stop in time.") from error
    finally:
        child.signal_group(signal.SIGKILL)
    if not made.is_file():
        raise LocalError(f"{server.name} has left no AOT cache: {log.read_text(errors='replace')[-300:].strip()}")
    return made
