"""Each idempotency key sent many times at once: as many jobs as keys, and as many charges.

    python -m tests.hostile.keys --keys 10000        # 20 sends each, on a stack of its own

Every key is sent by all connections of a lane in the same moment, so that its sends race each other through the
gateway, the log and the decider. Each answer must name the key's one job; afterwards the log tells how many jobs were
accepted and how often money was taken, and the audit has to be clean. Exit code 1 where a number is off.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.stack import Stack

SENDS = 20
_LANES = 8
_LATER = (429, 503)
_AGAIN_S = 0.3
_SILENCE_LIMIT_S = 120.0
_ACCOUNTS = 16
_BODY = b'{"model": "sandbox/echo", "params": {"seed": %d}}'
_END_LIMIT_S = 900.0


class _Answer(msgspec.Struct):
    id: str


@dataclass
class Sent:
    """What clients were told: the job of each key, answers by status, and keys that named more than one job.

    `shed` counts answers that asked to come again later, `cut` connections that ended without an answer.
    """

    jobs: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    split: set[str] = field(default_factory=set)
    shed: int = 0
    cut: int = 0
    seconds: float = 0.0

    def note(self, key: str, status: int, body: bytes) -> None:
        self.statuses[status] += 1
        if 200 <= status < 300:
            job = msgspec.json.decode(body, type=_Answer).id
            if self.jobs.setdefault(key, job) != job:
                self.split.add(key)


async def send_keys(stack: Stack, tokens: list[str], keys: int, sends: int = SENDS) -> Sent:
    """Send `keys` keys, each `sends` times at once, spread over the accounts of the tokens."""
    sent, numbers, began = Sent(), iter(range(keys)), time.perf_counter()
    prefix = uuid.uuid4().hex
    await asyncio.gather(*(_lane(stack, tokens, sent, numbers, prefix, sends) for _ in range(min(_LANES, keys))))
    sent.seconds = time.perf_counter() - began
    return sent


async def _lane(stack: Stack, tokens: list[str], sent: Sent, numbers: Iterator[int], prefix: str, sends: int) -> None:
    lines = [_Line(stack.port) for _ in range(sends)]
    try:
        for number in numbers:
            key = f"{prefix}-{number}"
            request = _request(key, tokens[number % len(tokens)], number)
            for status, body in await asyncio.gather(*(line.settled(request, sent) for line in lines)):
                sent.note(key, status, body)
    finally:
        for line in lines:
            line.close()


class _Line:
    """A connection that is opened again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def settled(self, request: bytes, sent: Sent) -> tuple[int, bytes]:
        """The answer; one that asks to come again later (429, 503) is counted and taken at its word.

        A connection that is cut leaves the outcome unknown: the same key is sent again, as clients should.
        """
        heard = time.monotonic()
        while True:
            try:
                status, body = await self._asked(request)
                heard = time.monotonic()
            except (asyncio.IncompleteReadError, OSError):
                self.close()
                sent.cut += 1
                if time.monotonic() - heard > _SILENCE_LIMIT_S:
                    raise
            else:
                if status not in _LATER:
                    return status, body
                sent.shed += 1
            await asyncio.sleep(_AGAIN_S)

    async def _asked(self, request: bytes) -> tuple[int, bytes]:
        if self._open is None:
            self._open = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._open
        writer.write(request)
        status, body, closes = await _answer(reader)
        if closes:
            self.close()
        return status, body

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def _request(key: str, token: str, number: int) -> bytes:
    body = _BODY % (number % 256)
    lines = (
        "POST /v1/jobs HTTP/1.1", "Host: h", f"Authorization: Bearer {token}", "Content-Type: application/json",
        f"Content-Length: {len(body)}", f"Idempotency-Key: {key}", "Prefer: respond-async",
    )  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return int(head[9:12]), await reader.readexactly(length), b"\r\nconnection: close" in head


def accounts(stack: Stack, count: int, amount: int) -> tuple[list[str], list[str]]:
    """New accounts with this much to spend each: their names and tokens."""
    names, tokens = [], []
    for _ in range(count):
        subject = f"keys-{uuid.uuid4()}"
        ran = stack.darkroom("grant", "--account", f"darkroom:{subject}", str(amount))
        assert ran.returncode == 0, ran.stderr
        names.append(f"darkroom:{subject}")
        tokens.append(stack.token(subject, ttl_s=4 * 3600))
    return names, tokens


def count_events(stack: Stack, jobs: set[str], limit_s: float = _END_LIMIT_S) -> Counter[str]:
    """How many events of each kind the log has about these jobs, once the money of all has been settled."""
    deadline = time.monotonic() + limit_s
    while True:
        kinds: Counter[str] = Counter()
        for event in stack.each_event():
            if event["data"]["data"].get("job") in jobs:
                kinds[event["type"].split(".")[1]] += 1
        if kinds["credits-captured"] + kinds["credits-released"] >= len(jobs) or time.monotonic() > deadline:
            return kinds
        time.sleep(2.0)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.keys")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--sends", type=int, default=SENDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-keys-") as folder:
        stack = Stack(Path(folder) / "data", {"DARKROOM_LIMITS__REQUESTS": "100000000"})
        try:
            stack.start()
            is_right = _proved(stack, options.keys, options.sends)
            stack.stop()
        finally:
            stack.kill()
    sys.exit(0 if is_right else 1)


def _proved(stack: Stack, keys: int, sends: int) -> bool:
    _, tokens = accounts(stack, _ACCOUNTS, keys)
    sent = asyncio.run(send_keys(stack, tokens, keys, sends))
    total = sum(sent.statuses.values())
    print(f"{keys} keys, {sends} sends each: {total} answers in {sent.seconds:.0f} s ({total / sent.seconds:.0f}/s)")
    named = len(set(sent.jobs.values()))
    print(f"statuses {dict(sent.statuses)}; {sent.shed} times come again later; {sent.cut} connections cut")
    restarts = {name: row["restarts"] for name, row in stack.status().items() if row["restarts"]}
    print(f"restarts {restarts or 'none'}")
    print(f"{named} jobs named, {len(sent.split)} keys that name two")
    kinds = count_events(stack, set(sent.jobs.values()))
    audit = stack.audit()
    print(f"on the log {dict(kinds)}; audit {'clean' if audit['clean'] else audit}")
    return is_one_each(sent, keys, kinds) and bool(audit["clean"])


def is_one_each(sent: Sent, keys: int, kinds: Counter[str]) -> bool:
    """One job for each key, and its price reserved once and settled once."""
    settled = kinds["credits-captured"] + kinds["credits-released"]
    per_key = (len(sent.jobs), len(set(sent.jobs.values())), kinds["job-accepted"], kinds["credits-reserved"], settled)
    return not sent.split and set(sent.statuses) <= {200, 202} and set(per_key) == {keys}


if __name__ == "__main__":
    main()
