"""Processes that the bench starts beside the servers: Darkroom's own roles and the bare components."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.local.layout import Layout, read_stack_file
from infra.local.ports import free_ports
from infra.local.process import inherited
from infra.local.stack import worker_environment
from tests.servers import LocalServers

START_LIMIT_S = 30.0
_STOP_LIMIT_S = 10.0
_ROOT = Path(__file__).resolve().parents[2]


class ChildFailed(Exception):
    """A child ended or did not get ready; the message holds the end of its log."""


class BenchChild:
    """A running child with a log file of its own."""

    def __init__(self, name: str, arguments: tuple[str, ...], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                (sys.executable, *arguments),
                env=dict(environment),
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, ready: Callable[[], bool], limit_s: float = START_LIMIT_S) -> None:
        """Return when `ready`; raises ChildFailed when the child ends first or the time is over."""
        end = time.monotonic() + limit_s
        while not ready():
            if self._process.poll() is not None or time.monotonic() > end:
                raise ChildFailed(f"{self.name} is not ready: …{self._log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.02)

    def wait_to_say(self, word: str) -> None:
        """Return when the child has written `word`; raises as `wait_for`."""
        self.wait_for(lambda: word in self.output())

    def output(self) -> str:
        """What the child has written so far."""
        return self._log.read_text(errors="replace")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The child stands still meanwhile. Keep it well below the session timeout of its group."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Children:
    """Starts children with logs in one folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._running: list[BenchChild] = []
        self.gateway_port = free_port()

    def bare(self, module: str, *arguments: str) -> BenchChild:
        """``python -m tests.bench.<module> …`` with uvloop as the workers have it."""
        return self._start(f"{module}-{len(self._running)}", ("-m", f"tests.bench.{module}", *arguments), inherited())

    def role(self, name: str, module: str = "") -> BenchChild:
        """A role of Darkroom such as ``processor-0``, configured as ``darkroom up`` would, and healthy.

        Or a ``tests.bench.<module>`` that serves in its place.
        """
        stack = read_stack_file(self._layout)
        assert stack is not None
        role, index = name.rsplit("-", 1)
        environment = inherited(worker_environment(self._layout, stack, name))
        environment["DARKROOM_GATEWAY__PORT"] = str(self.gateway_port)
        arguments = (f"tests.bench.{module}",) if module else ("infra.cli.main", "serve", role, "--index", index)
        child = self._start(name, ("-m", *arguments), environment)
        port = self.gateway_port if role == "gateway" else stack.ports[name]
        child.wait_for(lambda: answers(port))
        return child

    def stop(self, *children: BenchChild) -> None:
        """Stop these."""
        for child in children:
            child.stop()
        self._running = [child for child in self._running if child not in children]

    def stop_all(self) -> None:
        """Stop all that run, the last started first."""
        self.stop(*reversed(self._running))

    def _start(self, name: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> BenchChild:
        child = BenchChild(name, arguments, self._layout.logs / f"{name}.bench.log", environment)
        self._running.append(child)
        return child


@contextmanager
def stack(root: Path, *names: str) -> Iterator[tuple[LocalServers, Children]]:
    """Real servers in a directory, and children that end before them."""
    root.mkdir()
    servers = LocalServers(root)
    try:
        servers.need(*names)
        children = Children(servers.layout)
        try:
            yield servers, children
        finally:
            children.stop_all()
    finally:
        servers.stop()


def answers(port: int, path: str = "/healthz") -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def free_port() -> int:
    """A port that nothing listens on now."""
    return free_ports(1, frozenset())[0]
