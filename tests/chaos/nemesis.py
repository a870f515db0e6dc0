"""Kills, and a client that asks until somebody answers."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

import httpx

from tests.stack import Stack

UNHEALTHY_LIMIT_S = 180.0
PATIENCE_S = 90.0


async def kill_each(
    stack: Stack, kinds: Sequence[str], kills: int, seed: int, progress: Callable[[], float] = lambda: 1.0
) -> None:
    """Kill each kind so many times, each time a little after it was healthy again; kinds fall independently.

    A processor falls only beside a healthy one, so that a standstill is the time that its partitions take to move.
    With `progress`, the part of the load that is done (0 to 1), kills are spread over all of it.
    """
    draw = random.Random(seed)
    left = dict.fromkeys(kinds, kills)
    due: dict[str, float] = {}
    stuck_from = time.monotonic()
    while any(left.values()):
        rows = await asyncio.to_thread(stack.status)
        if all(row["healthy"] for row in rows.values()):
            stuck_from = time.monotonic()
        assert time.monotonic() < stuck_from + UNHEALTHY_LIMIT_S, f"never healthy again: {rows}"
        for kind in (kind for kind in kinds if left[kind] > kills * (1.0 - progress())):
            name = f"processor-{left[kind] % 2}" if kind == "processor" else f"{kind}-0" if kind != "triton" else kind
            if not all(row["healthy"] for row in rows.values() if row["name"].startswith(kind)):
                continue
            due.setdefault(name, time.monotonic() + draw.uniform(0.3, 4.0))
            if time.monotonic() >= due[name]:
                os.kill(rows[name]["pid"], signal.SIGKILL)
                left[kind] -= 1
                stuck_from = time.monotonic()
                del due[name]
        await asyncio.sleep(0.3)


async def asked_until_answered(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response | None:
    """The first answer that is one: no cut connection, no 5xx, no 429 but of a quota, for which nobody waits.

    None when patience has run out.
    """
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            answer = await ask()
        except httpx.TransportError:
            await asyncio.sleep(0.2)
            continue
        if answer.status_code < 500 and (answer.status_code != 429 or answer.json()["code"] == "quota-exceeded"):
            return answer
        await asyncio.sleep(min(2.0, float(answer.headers.get("retry-after", "0.2"))))
    return None
