"""A batch of 10,000 jobs on a whole stack: ``python -m tests.bench.batch [--data DIR]``.

Without ``--data`` a stack of its own is started and stopped. Each round is a new account: one request with 10,000 small
jobs, then the same request again (a repeat that has to find every job), and beside the first one single submits of
another account, to see what the batch costs its neighbours. Figures are printed, never judged.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec

from infra.cli.options import known_stack, make_token
from infra.local.layout import Layout
from infra.local.stack import settings_of
from tests.stack import Stack

JOBS = 10_000
ROUNDS = 3
_TIMEOUT_S = 120.0


class Round(msgspec.Struct, frozen=True):
    """Seconds from the request's first byte to: its answer's first byte (everything on the log), and its last."""

    on_log_s: float
    answered_s: float
    statuses: dict[int, int]
    pending: int


def batch_body(count: int, kind: str) -> bytes:
    """That many small jobs."""
    jobs = [{"model": "sandbox/echo", "params": {"seed": n % 256}, "metadata": {"order": n}} for n in range(count)]
    if kind == "json":
        return msgspec.json.encode({"jobs": jobs})
    return b"\n".join(msgspec.json.encode(job) for job in jobs)


async def send_batch(http: httpx.AsyncClient, token: str, body: bytes, key: str) -> Round:
    """POST it once."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
    started = time.perf_counter()
    async with http.stream("POST", "/v1/jobs:batch", content=body, headers=headers) as answer:
        on_log_s = time.perf_counter() - started
        content = await answer.aread()
    answered_s = time.perf_counter() - started
    found: dict[str, Any] = msgspec.json.decode(content)
    results = found.get("results", [])
    statuses = Counter(one["status"] for one in results) if results else Counter({answer.status_code: 1})
    pending = sum(one.get("job", {}).get("status") == "pending" for one in results)
    return Round(on_log_s, answered_s, dict(statuses), pending)


async def singles(http: httpx.AsyncClient, token: str, until: asyncio.Event) -> list[float]:
    """Single submits, one after the other, until told; milliseconds to each decision."""
    times = []
    while not until.is_set():
        started = time.perf_counter()
        answer = await http.post(
            "/v1/jobs", json={"model": "sandbox/echo"}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 202, answer.text
        times.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.02)
    return times


async def measure(data: Path) -> None:
    """All rounds, on the running stack of the data directory."""
    layout = Layout(data)
    stack = known_stack(layout)
    assert settings_of(layout).deployment == stack.deployment
    admin = {"Authorization": f"Bearer {make_token(layout, stack, 'darkroom', 'op', ttl_s=3600, role='admin')}"}
    body = batch_body(JOBS, "json")
    async with httpx.AsyncClient(base_url=stack.url, timeout=_TIMEOUT_S) as http:
        for number in range(ROUNDS):
            names = [f"batch-{uuid.uuid4()}", f"single-{uuid.uuid4()}"]
            tokens = [make_token(layout, stack, "darkroom", name, ttl_s=3600) for name in names]
            for name in names:
                path = f"/v1/accounts/darkroom:{name}:grant"
                (await http.post(path, json={"amount": 2 * JOBS}, headers=admin)).raise_for_status()
            done = asyncio.Event()
            beside = asyncio.create_task(singles(http, tokens[1], done))
            await asyncio.sleep(0.5)
            first = await send_batch(http, tokens[0], body, "k")
            done.set()
            times = sorted(await beside)
            again = await send_batch(http, tokens[0], body, "k")
            _tell(number, first, "first")
            _tell(number, again, "again")
            p99 = times[int(len(times) * 0.99) - 1]
            print(f"  beside it: {len(times)} singles, p50 {statistics.median(times):.1f} ms, p99 {p99:.1f} ms")


def _tell(number: int, found: Round, what: str) -> None:
    print(
        f"round {number} {what}: {JOBS / found.answered_s:,.0f} decided/s; on the log after {found.on_log_s:.2f} s, "
        f"last answer after {found.answered_s:.2f} s; {found.statuses}, {found.pending} pending"
    )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description="10,000 jobs in one request.")
    parser.add_argument("--data", type=Path, default=None, help="a running stack; without it one is started")
    data = parser.parse_args().data
    if data is not None:
        asyncio.run(measure(data.resolve()))
        return
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder) / "data")
        try:
            print(f"ready after {stack.start():.1f} s")
            asyncio.run(measure(stack.data))
            stack.stop()
        finally:
            stack.kill()


if __name__ == "__main__":
    main()
