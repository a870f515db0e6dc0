"""Submits that arrive whether or not earlier ones were answered, and what each was told: raw sockets, one process.

A request that no connection is free for waits in line, and its time counts from when it was due: an overloaded server
cannot slow its clients down here and look fast by it.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.due import Schedule
from tests.bench.load import Shape

_JOB = re.compile(rb'"id":"(job_[a-z2-7]+)"')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_ANSWER_LIMIT_S = 60.0
ECHO = {"model": "sandbox/echo", "params": {"seed": 7}}
"""A job that costs next to nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The status (0: none came), how long it took from when it was due, and the job that was acknowledged.

    `shape` says which of the shapes was asked for.
    """

    shape: int
    status: int
    seconds: float
    job: str | None = None
    retry_after_s: int | None = None


class Arrivals:
    """Sends `shapes` in turn over so many connections."""

    def __init__(self, port: int, shapes: Sequence[Shape], connections: int) -> None:
        self.sent = 0
        self._port, self._connections = port, connections
        self._requests = [_parts(port, shape) for shape in shapes]
        self._run = uuid.uuid4().hex
        self._due: deque[float] = deque()
        self._arrived = asyncio.Event()
        self._answers: list[Answer] = []
        self._on_and_on = False

    async def run(self, a_second: float | None, seconds: float) -> Sequence[Answer]:
        """What was told, once all that has arrived in that time is answered. None: each connection asks on and on."""
        self._on_and_on = a_second is None
        users = [asyncio.create_task(self._use()) for _ in range(self._connections)]
        end = time.perf_counter() + seconds
        schedule = None if a_second is None else Schedule(a_second)
        while time.perf_counter() < end:
            if schedule is not None:
                self._due.extend(schedule.take())
            self._arrived.set()
            await asyncio.sleep(0.005)
        self._due.clear()  # what has not been sent by now never was
        async with asyncio.timeout(_ANSWER_LIMIT_S * 2):
            for user in users:
                user.cancel()
            await asyncio.wait(users)
        return self._answers

    async def _use(self) -> None:
        """One connection: the next request that is due, its answer, and again. Ended between two requests."""
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                while not self._due and not self._on_and_on:
                    self._arrived.clear()
                    await self._arrived.wait()
                due_s = time.perf_counter() if self._on_and_on else self._due.popleft()
                asking = asyncio.create_task(self._ask(connection, due_s))
                try:
                    connection = await asyncio.shield(asking)
                except asyncio.CancelledError:
                    connection = await asking
                    raise
        finally:
            if connection is not None:
                connection[1].close()

    async def _ask(
        self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None, due_s: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Send the next request; the connection, if it may be used again."""
        number, self.sent = self.sent, self.sent + 1
        shape = number % len(self._requests)
        before, after = self._requests[shape]
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                reader, writer = connection or await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(b"%s%s-%d%s" % (before, self._run.encode(), number, after))
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length is not None else b""
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self._answers.append(Answer(shape, 0, time.perf_counter() - due_s))
            return None
        status, job, wait = int(head[9:12]), _JOB.search(body), _RETRY_AFTER.search(head)
        acknowledged = job[1].decode() if job is not None and status < 300 else None
        seconds = time.perf_counter() - due_s
        self._answers.append(Answer(shape, status, seconds, acknowledged, None if wait is None else int(wait[1])))
        if b"connection: close" in head.lower():
            writer.close()
            return None
        return reader, writer


def acknowledged_within_s(answers: Sequence[Answer], share: float) -> float:
    """The latency that this share of the acknowledged submits stays under; 0 where none was acknowledged."""
    taken = sorted(answer.seconds for answer in answers if answer.job is not None)
    return taken[min(len(taken) - 1, int(share * len(taken)))] if taken else 0.0


async def one_after_the_other(port: int, shapes: Sequence[Shape], connections: int, seconds: float) -> Sequence[Answer]:
    """What was told within that time to so many clients that each wait for an answer before they ask again."""
    return await Arrivals(port, shapes, connections).run(None, seconds)


def _parts(port: int, shape: Shape) -> tuple[bytes, bytes]:
    body = shape.raw or shape.body.encode()
    lines = [
        f"{shape.method} {shape.path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        *shape.headers,
        f"Content-Length: {len(body)}",
        "Idempotency-Key: ",
    ]
    return "\r\n".join(lines).encode(), b"\r\n\r\n" + body
