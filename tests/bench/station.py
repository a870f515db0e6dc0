"""What the parts of the bench share: the figures so far, and a stack whose roles are started as they are needed."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from infra.cli.plan import publish_plan
from infra.settings import Settings
from tests.bench.children import BenchChild, Children, stack
from tests.bench.clients import tokens
from tests.bench.history import Entry
from tests.bench.load import Load, Shape
from tests.bench.measure import Curves, Latency, Pair
from tests.servers import LocalServers

ACCOUNTS = 200
HOST = "127.0.0.1"


class Bench:
    """The figures so far; a part that fails leaves its name and the others go on."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.pairs: list[Pair] = []
        self.latencies: list[Latency] = []
        self.curves: list[Curves] = []
        self.notes: list[str] = []
        self.entry: Entry | None = None
        self.failures: list[str] = []

    def part(self, name: str, run: Callable[[], None]) -> None:
        """Run a part of the bench."""
        started = time.monotonic()
        try:
            run()
        except Exception as error:
            traceback.print_exc()
            self.failures.append(f"{name}: {error}")
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


class Station:
    """Real servers, the roles of Darkroom that run, and tokens of accounts that nobody knew before.

    `root` is a folder in which a part may have servers of its own.
    """

    def __init__(self, servers: LocalServers, children: Children, root: Path) -> None:
        self.servers, self.children, self.root = servers, children, root
        self.settings: Settings = servers.settings
        self.port = children.gateway_port
        self.tokens = tokens(servers.settings, ACCOUNTS)
        self._roles: dict[str, BenchChild] = {}
        self._has_plan = False

    def roles(self, *names: str) -> Sequence[BenchChild]:
        """These roles and no others run afterwards, each healthy: such as ``processor-0``, ``gateway-0``."""
        if not self._has_plan:
            asyncio.run(publish_plan(self.settings))
            self._has_plan = True
        self.children.stop(*(self._roles.pop(name) for name in set(self._roles) - set(names)))
        missing = [name for name in names if name not in self._roles]
        if missing:
            with ThreadPoolExecutor(len(missing)) as pool:
                self._roles |= dict(zip(missing, pool.map(self.children.role, missing), strict=True))
        return [self._roles[name] for name in names]

    def load(self, key: str, connections: int, shapes: Iterable[Shape], **more: object) -> Load:
        """A load on the gateway, or on another `port`; `more` are fields of `Load`."""
        values = {"host": HOST, "port": self.port, "shapes": tuple(shapes), "key": f"{key}-"}
        return Load(**{**values, "connections": connections, **more})  # type: ignore[arg-type]


@contextmanager
def station(root: Path) -> Iterator[Station]:
    """All four servers in a directory, and no role yet."""
    root.mkdir()
    with stack(root / "stack", "kafka", "s3", "postgres", "triton") as (servers, children):
        yield Station(servers, children, root)
