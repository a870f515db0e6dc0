"""The real servers that tests run against: one set a session, each started when the first test asks for it.

By default they are the local stack's own children on free ports in a temporary directory. With
``--servers=testcontainers`` they come from Docker instead; an explicit switch without Docker fails. With
``DARKROOM_TEST_SERVERS=auto`` Docker is taken where a daemon answers a ping.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from infra.local.component import Component
from infra.local.layout import Layout, Lock, StackFile, claim
from infra.local.stack import SERVERS, Hooks, Options, components, open_stack, settings_of
from infra.local.supervisor import Supervisor
from infra.settings import Settings

START_LIMIT_S = 120.0


class Servers(Protocol):
    """Settings whose servers run once `need` has named them."""

    @property
    def settings(self) -> Settings: ...

    def need(self, *names: str) -> Settings:
        """Start those of kafka, s3, postgres, triton that do not run yet; return when they answer."""
        ...

    def stop(self) -> None: ...


class LocalServers:
    """The local stack's servers, supervised from a thread of their own: what a test kills comes back.

    A server that is not needed yet has its ports held, or a stack that starts meanwhile could take one of them.
    """

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self._lock: Lock = claim(self.layout)
        self._options = Options(only=SERVERS)
        self._stack: StackFile = open_stack(self.layout, self._options)
        self.settings: Settings = settings_of(self.layout)
        self._held = {name: _held(port) for name, port in self.ports.items()}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers")
        self._running: dict[str, tuple[Supervisor, asyncio.Event, asyncio.Task[None]]] = {}
        self._thread.start()

    @property
    def ports(self) -> dict[str, int]:
        """The ports of the servers by name, whether they run or not."""
        return {name: port for name, port in self._stack.ports.items() if name.startswith(SERVERS)}

    def need(self, *names: str) -> Settings:
        missing = [name for name in names if name not in self._running]
        if missing:
            self._call(self._start, missing)
        return self.settings

    def pid(self, name: str) -> int:
        """The process of a running server, for tests that kill it."""
        found = next(row.pid for row in self._running[name][0].rows() if row.name == name)
        assert found is not None
        return found

    def stop_servers(self) -> None:
        """Stop those that run; `need` starts them again on the same data."""
        self._call(self._stop)

    def stop(self) -> None:
        self.stop_servers()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for holder in self._held.values():
            holder.close()
        self._lock.release()

    async def _start(self, names: Sequence[str]) -> None:
        wanted = Options(only=tuple(names))
        made = components(self.layout, self._stack, wanted, Hooks(make_topics=_make_topics))
        await asyncio.gather(*(self._start_one(component) for component in made))

    async def _start_one(self, component: Component) -> None:
        for name in [name for name in self._held if name.startswith(component.name)]:
            self._held.pop(name).close()
        supervisor = Supervisor((component,), self.layout.logs)
        stop = asyncio.Event()
        task = asyncio.create_task(supervisor.run(stop))
        self._running[component.name] = (supervisor, stop, task)
        healthy = asyncio.create_task(supervisor.all_healthy())
        done, _ = await asyncio.wait((task, healthy), timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if healthy not in done:
            del self._running[component.name]  # whoever needs it next is told the same, and waits for nothing
        if task in done:
            healthy.cancel()
            await task
        assert healthy in done, f"{component.name} is not healthy after {START_LIMIT_S} s"

    async def _stop(self) -> None:
        for _, stop, _ in self._running.values():
            stop.set()
        await asyncio.gather(*(task for _, _, task in self._running.values()))
        self._running.clear()

    def _call(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        asyncio.run_coroutine_threadsafe(work(*arguments), self._loop).result(START_LIMIT_S + 30)


def _held(port: int) -> socket.socket:
    """The port, bound so that nobody finds it free; where connections linger from an earlier life it stays as it is."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with suppress(OSError):
        holder.bind(("127.0.0.1", port))
    return holder


async def _make_topics(settings: Settings) -> None:
    from infra.kafka.topics import ensure_topics

    await ensure_topics(settings)
