"""The load client: raw sockets, keep-alive, no pipelining, in a process of its own.

``python -m tests.bench.load`` reads a `Load` as JSON from stdin and writes a `Result` to stdout. Requests are put
together from bytes made beforehand; of an answer only the status and the length are read, so that a core that is
shared with the server goes to the server.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter, deque
from typing import cast

import msgspec
import uvloop

from tests.bench.due import Schedule
from tests.bench.measure import Figure, cpu_seconds

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LIMIT_S = 60.0


class Shape(msgspec.Struct, frozen=True):
    """A request: method and path, header lines without Host, Content-Length and Idempotency-Key, and the body.

    A body of bytes that are no text stands in `raw`.
    """

    method: str
    path: str
    headers: tuple[str, ...]
    body: str = ""
    raw: bytes = b""


class Load(msgspec.Struct, frozen=True):
    """What to send. Shapes are taken in turn; each request gets an Idempotency-Key that starts with `key`.

    Either `run_s` seconds are counted after `warm_s`, and on until there are `least` answers; or exactly `count`
    requests are made. `pause_s` is slept between two requests of a connection. `pids` are the servers whose CPU is read
    at both ends of what is counted.

    With `a_second` so many requests a second are due, whether or not earlier ones were answered, and each is counted
    from when it was due: one that no connection is free for waits in line, and all that came are answered in the end.
    A latency then holds up to a millisecond of the client's own timer.
    """

    host: str
    port: int
    shapes: tuple[Shape, ...]
    key: str
    connections: int = 64
    warm_s: float = 0.3
    run_s: float = 1.5
    least: int = 1
    count: int | None = None
    pause_s: float = 0.0
    a_second: float | None = None
    pids: tuple[int, ...] = ()


class Result(msgspec.Struct, frozen=True):
    """What was counted: answers by status, the seconds they took, latencies in ms, CPU in microseconds a request."""

    statuses: dict[str, int]
    seconds: float
    latencies_ms: list[float]
    cpu_us: float
    client_cpu_us: float
    first_other: str = ""

    @property
    def requests(self) -> int:
        """How many answers there were."""
        return sum(self.statuses.values())

    @property
    def figure(self) -> Figure:
        """Requests a second and the servers' CPU a request."""
        return Figure(self.requests / self.seconds, self.cpu_us)

    def figure_of(self, status: int) -> Figure:
        """The same of the answers with that status alone, of which there is one at least."""
        done = self.statuses[str(status)]
        return Figure(done / self.seconds, self.cpu_us * self.requests / done)

    def only(self, status: int) -> bool:
        """Whether every answer had the status."""
        return set(self.statuses) == {str(status)}


def run_load(load: Load) -> Result:
    """Run the client in a process of its own to its end."""
    done = subprocess.run(
        (sys.executable, "-m", "tests.bench.load"),
        input=msgspec.json.encode(load),
        stdout=subprocess.PIPE,
        check=True,
        timeout=_LIMIT_S,
    )
    return msgspec.json.decode(done.stdout, type=Result)


class _Run:
    """The counters that all connections share, and what they send."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.parts = [_parts(load, shape) for shape in load.shapes]
        self.sent = 0
        self.counting = False
        self.stopped = False
        self.statuses: Counter[bytes] = Counter()
        self.latencies: list[float] = []
        self.first_other = ""
        self.finished = asyncio.Event()
        self.due: deque[float] = deque()
        self.free: deque[_Connection] = deque()
        self.busy = 0

    def turn(self, connection: _Connection) -> float | None:
        """When the connection's next request was due; None where none is, and then the connection is free."""
        if self.load.a_second is None:
            return time.perf_counter()
        if self.due:
            return self.due.popleft()
        self.free.append(connection)
        return None

    async def arrive(self, a_second: float) -> None:
        """Have requests come until cancelled."""
        schedule = Schedule(a_second)
        while True:
            self.due.extend(schedule.take())
            for _ in range(min(len(self.due), len(self.free))):
                self.free.popleft().send()
            await asyncio.sleep(schedule.pause_s())

    def next_request(self) -> bytes | None:
        """The next request, None when enough were made."""
        number = self.sent
        if self.stopped or (self.load.count is not None and number >= self.load.count):
            return None
        self.sent = number + 1
        before, after = self.parts[number % len(self.parts)]
        return b"%s%09d%s" % (before, number, after)

    def answered(self, status: bytes, started: float, answer: bytes) -> None:
        if not self.counting:
            return
        self.statuses[status] += 1
        self.latencies.append(time.perf_counter() - started)
        if status[:1] != b"2" and not self.first_other:
            self.first_other = answer[:2000].decode("latin-1")
        if self.load.count is not None and len(self.latencies) >= self.load.count:
            self.finished.set()


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.send()

    def data_received(self, data: bytes) -> None:
        answer = self._answer + data if self._answer else data
        head_end = answer.find(b"\r\n\r\n")
        if head_end < 0 or not self._is_whole(answer, head_end):
            self._answer = answer
            return
        self._answer = b""
        self._run.busy -= 1
        self._run.answered(answer[9:12], self._started, answer)
        if self._run.load.pause_s:
            asyncio.get_running_loop().call_later(self._run.load.pause_s, self.send)
        else:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if self._started:
            self._run.busy -= 1
            if not self._run.stopped:
                self._run.answered(b"cut", self._started, b"the connection was closed")
        elif self in self._run.free:
            self._run.free.remove(self)

    def _is_whole(self, answer: bytes, head_end: int) -> bool:
        found = _LENGTH.search(answer, 0, head_end + 2)
        if found is not None:
            return len(answer) >= head_end + 4 + int(found[1])
        return answer.endswith(b"0\r\n\r\n") or answer[9:12] == b"204"

    def send(self) -> None:
        """The next request, as soon as one is due."""
        self._started = 0.0
        due_s = self._run.turn(self)
        request = None if due_s is None else self._run.next_request()
        if due_s is None or request is None or self._transport is None:
            return
        self._started = due_s
        self._run.busy += 1
        self._transport.write(request)


def _parts(load: Load, shape: Shape) -> tuple[bytes, bytes]:
    body = shape.raw or shape.body.encode()
    lines = [
        f"{shape.method} {shape.path} HTTP/1.1",
        f"Host: {load.host}:{load.port}",
        *shape.headers,
        f"Content-Length: {len(body)}",
        f"Idempotency-Key: {load.key}",
    ]
    return "\r\n".join(lines).encode(), b"\r\n\r\n" + body


async def _measure(load: Load) -> Result:
    run = _Run(load)
    loop = asyncio.get_running_loop()
    run.counting = load.count is not None
    cpu, client, started = cpu_seconds(load.pids), time.process_time(), time.perf_counter()
    for _ in range(load.connections):
        await loop.create_connection(lambda: _Connection(run), load.host, load.port)
    arriving = None if load.a_second is None else asyncio.create_task(run.arrive(load.a_second))
    if load.count is None:
        await asyncio.sleep(load.warm_s)
        run.counting = True
        cpu, client, started = cpu_seconds(load.pids), time.process_time(), time.perf_counter()
        await asyncio.sleep(load.run_s)
        async with asyncio.timeout(_LIMIT_S / 2):
            while len(run.latencies) < load.least:
                await asyncio.sleep(0.02)
            if arriving is not None:
                arriving.cancel()
                while run.due or run.busy:
                    await asyncio.sleep(0.005)
    else:
        await run.finished.wait()
    run.stopped = True
    seconds = time.perf_counter() - started
    per_us = 1e6 / max(1, len(run.latencies))
    return Result(
        {status.decode(): count for status, count in run.statuses.items()},
        seconds,
        [1000 * value for value in run.latencies],
        (cpu_seconds(load.pids) - cpu) * per_us,
        (time.process_time() - client) * per_us,
        run.first_other,
    )


def main() -> None:
    """Run the load that stands on stdin."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_measure(load))))


if __name__ == "__main__":
    main()
