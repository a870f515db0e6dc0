"""The whole stack as its users meet it: ``darkroom up`` as a child, spoken to by HTTP and by the other commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from infra.cli.status import component_rows
from infra.http.signing_keys import KeyFolder
from infra.http.tokens import sign_token
from infra.local.layout import Layout
from infra.local.ports import free_ports
from infra.local.triton import region_prefix

READY_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0
_MARK = "DARKROOM_TEST_STACK"
_PROGRAM = (sys.executable, "-m", "infra.cli.main")


class Stack:
    """One ``darkroom up`` on a data directory of its own; it may be stopped, killed and started again."""

    def __init__(
        self, data: Path, environment: Mapping[str, str] | None = None, only: Sequence[str] | None = None
    ) -> None:
        self.data = data
        self._only = () if only is None else ("--only", ",".join(only))
        self.port = free_ports(1, frozenset())[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._mark = uuid.uuid4().hex
        self._environment = {**os.environ, **(environment or {}), _MARK: self._mark}
        self._up: subprocess.Popen[str] | None = None
        self._errors = data.with_suffix(".stderr")

    def start(self, ready_limit_s: float = READY_LIMIT_S) -> float:
        """Start and wait for ``ready``; the seconds that took."""
        started = time.monotonic()
        argv = (*_PROGRAM, "up", "--port", str(self.port), "--data", str(self.data), *self._only)
        with self._errors.open("a") as errors:
            self._up = subprocess.Popen(
                argv, env=self._environment, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        assert self._up.stdout is not None
        line = _first_line(self._up.stdout, ready_limit_s)
        if line.strip() != f"ready {self.url}":
            self.kill()
            raise AssertionError(f"darkroom up said {line!r} and not ready:\n{self._tail()}")
        return time.monotonic() - started

    def stop(self) -> float:
        """SIGTERM; nothing may be left. The seconds that took."""
        assert self._up is not None
        started = time.monotonic()
        self._up.send_signal(signal.SIGTERM)
        code = self._up.wait(STOP_LIMIT_S)
        self._close()
        assert code == 0, f"darkroom up ended with {code}:\n{self._tail()}"
        assert self.processes() == [], "processes outlived the stack"
        assert self.regions() == [], "regions of shared memory outlived the stack"
        return time.monotonic() - started

    def kill(self) -> None:
        """SIGKILL for everything at once: the supervisor and all that it started."""
        if self._up is None:
            return
        for pid in self.processes():
            _kill(pid)
        self._up.wait(STOP_LIMIT_S)
        self._close()
        deadline = time.monotonic() + STOP_LIMIT_S
        while self.processes():
            assert time.monotonic() < deadline, "killed processes are still there"
            for pid in self.processes():
                _kill(pid)
            time.sleep(0.05)

    def restart(self) -> None:
        """Stop in order and start again."""
        self.stop()
        self.start()

    @property
    def runs(self) -> bool:
        """Whether the supervisor lives."""
        return self._up is not None and self._up.poll() is None

    def processes(self) -> list[int]:
        """Every living process that this stack started, found by a mark in its environment."""
        return [p.pid for p in psutil.process_iter() if p.pid != os.getpid() and self._is_ours(p)]

    def regions(self) -> list[str]:
        """Regions in /dev/shm that carry this stack's prefix."""
        prefix = region_prefix(Layout(self.data.resolve()).root / "triton")
        return [path.name for path in Path("/dev/shm").glob(f"{prefix}*")]

    def darkroom(self, *arguments: str, limit_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run another command of the program on this stack's data directory."""
        argv = (*_PROGRAM, arguments[0], "--data", str(self.data), *arguments[1:])
        return subprocess.run(argv, env=self._environment, capture_output=True, text=True, timeout=limit_s, check=False)

    def status(self) -> dict[str, dict[str, Any]]:
        """What ``darkroom status --json`` says, by name of the component; read here, for it is asked often."""
        rows: list[dict[str, Any]] = component_rows(Layout(self.data))
        return {row["name"]: row for row in rows}

    def events(self, account: str | None = None) -> list[dict[str, Any]]:
        """The log as ``darkroom events`` prints it."""
        ran = self.darkroom("events", *(("--account", account) if account else ()), limit_s=300.0)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def each_event(self) -> Iterator[dict[str, Any]]:
        """The same one by one, for a long log."""
        argv = (*_PROGRAM, "events", "--data", str(self.data))
        with subprocess.Popen(argv, env=self._environment, stdout=subprocess.PIPE, text=True) as reading:
            assert reading.stdout is not None
            yield from map(json.loads, reading.stdout)
        assert reading.returncode == 0, f"darkroom events ended with {reading.returncode}"

    def audit(self, *options: str) -> dict[str, Any]:
        """What ``darkroom audit --json`` says; its exit code must fit it."""
        ran = self.darkroom("audit", "--json", *options, limit_s=1800.0)
        assert ran.stdout, ran.stderr
        told: dict[str, Any] = json.loads(ran.stdout)
        assert ran.returncode == (0 if told["clean"] else 1)
        return told

    def token(
        self,
        subject: str,
        *,
        product: str = "darkroom",
        role: str = "user",
        ttl_s: int = 86_400,
        plan: str = "default",
        workspace: str | None = None,
        idle_s: int | None = None,
    ) -> str:
        """A bearer token, signed as ``darkroom token`` signs."""
        keys, now_s = KeyFolder(Layout(self.data).secrets / "jwt"), int(time.time())
        named: dict[str, Any] = {"plan": plan, "role": role, "workspace": workspace, "idle_s": idle_s}
        return sign_token(keys, "local", product, subject, now_s=now_s, ttl_s=ttl_s, **named)

    def wait_healthy(self, limit_s: float = 90.0) -> dict[str, dict[str, Any]]:
        """Wait until every component is healthy at once; their rows."""
        deadline = time.monotonic() + limit_s
        while True:
            rows = self.status()
            if rows and all(row["healthy"] for row in rows.values()):
                return rows
            assert time.monotonic() < deadline, f"not healthy after {limit_s} s: {rows}"
            time.sleep(0.2)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == self._mark
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return False

    def _close(self) -> None:
        assert self._up is not None
        assert self._up.stdout is not None
        self._up.stdout.close()
        self._up = None

    def _tail(self) -> str:
        logs = sorted((self.data / "logs").glob("*.log"))
        told = [f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs]
        return "\n".join([self._errors.read_text(errors="replace")[-2000:], *told])


def _first_line(stream: IO[str], limit_s: float) -> str:
    """The first line, or an empty one at the end of the stream or of the time."""
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.append(stream.readline()), daemon=True)
    reader.start()
    reader.join(limit_s)
    return lines[0] if lines else ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
