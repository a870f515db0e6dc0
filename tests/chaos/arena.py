"""Where faults strike: one running stack, the detours in front of its servers, and its processes by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.local.detours import KAFKA_LISTENER, VARIABLE
from infra.local.layout import Layout, read_stack_file
from infra.local.stack import settings_of
from infra.settings import Settings
from tests.chaos import arming
from tests.chaos.faults.fault import Detour, Fault, Prepared
from tests.stack import Stack

_UPSTREAMS = {"kafka": KAFKA_LISTENER, "s3": "s3", "postgres": "postgres", "triton": "triton-grpc"}
_READY_LIMIT_S = 600.0


class Arena:
    """A stack that is up while the context is entered, with the detours that ``faults`` need.

    ``stack`` is spoken to directly, as an operator does; its workers go through the detours. What it leaves for a while
    on disk lies in ``temporary``.
    """

    def __init__(self, data: Path, faults: Sequence[Fault], environment: Mapping[str, str] | None = None) -> None:
        self._data, self._environment = data, environment or {}
        self.temporary = data.with_name(f"{data.name}.temporary")
        self._detours: dict[str, Detour] = {f.detour.server: f.detour for f in faults if f.detour is not None}
        self._prepared = [fault for fault in faults if isinstance(fault, Prepared)]
        self._exits = AsyncExitStack()
        self.stack: Stack

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def _open(self) -> None:
        ports = {}
        for fault in self._prepared:
            fault.prepare(self._data)
            self._exits.callback(fault.clean)
        for server, detour in self._detours.items():
            ports[server] = await detour.open(lambda server=server: self.port_of(server))  # type: ignore[misc]
            self._exits.push_async_callback(detour.close)
        detours = {VARIABLE: json.dumps(ports)} if ports else {}
        self.temporary.mkdir(parents=True, exist_ok=True)
        environment = {**arming.ENVIRONMENT, "TMPDIR": str(self.temporary), **self._environment, **detours}
        self.stack = Stack(self._data, environment)
        self._exits.push_async_callback(asyncio.to_thread, self.stack.kill)
        await asyncio.to_thread(self.stack.start, _READY_LIMIT_S)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    @property
    def settings(self) -> Settings:
        """The settings with the direct ways to all servers."""
        return settings_of(Layout(self._data))

    def port_of(self, server: str) -> int:
        """The port at which the server itself listens for those who come by its detour."""
        stack = read_stack_file(Layout(self._data))
        assert stack is not None, "the stack has not started yet"
        return stack.ports[_UPSTREAMS[server]]

    def row(self, name: str) -> dict[str, Any]:
        """The component's line of the status: ``pid`` (None while it is down), ``healthy``, ``restarts``."""
        return self.rows()[name]

    def rows(self) -> dict[str, dict[str, Any]]:
        """All lines of the status."""
        return self.stack.status()

    async def healthy_one(self, names: Sequence[str], within_s: float = 600.0) -> tuple[str, int]:
        """The first of these components that is healthy, waited for: its name and its pid."""
        async with asyncio.timeout(within_s):
            while True:
                rows = self.rows()
                for name in names:
                    if rows[name]["healthy"] and rows[name]["pid"] is not None:
                        return name, rows[name]["pid"]
                await asyncio.sleep(0.1)

    async def until_replaced(self, name: str, pid: int, within_s: float = 60.0) -> None:
        """Until the component's process is another one, or none."""
        assert await self.is_replaced(name, pid, within_s), f"{name} still has the process {pid} after {within_s} s"

    async def is_replaced(self, name: str, pid: int, within_s: float) -> bool:
        """Whether the component's process ended in time."""
        try:
            async with asyncio.timeout(within_s):
                while self.row(name)["pid"] == pid:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return False
        return True
