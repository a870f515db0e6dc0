"""The stack that all contract tests share, fresh callers for each, and the table of what was checked."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest

from tests.conftest import CONTRACT_CHECK
from tests.end_to_end.pictures_elsewhere import PictureServer, picture_server
from tests.stack import Stack
from tests.unit.http.google_keys import CLIENT, KeyServer

_addresses = itertools.count(int(ipaddress.ip_address("198.18.0.1")))  # a range for benchmarks; nobody has it


@pytest.fixture(scope="package")
def elsewhere() -> Iterator[PictureServer]:
    """A web server that the stack may fetch pictures from, although its address is private."""
    with picture_server() as server:
        yield server


@pytest.fixture(scope="package")
def google() -> Iterator[KeyServer]:
    """A server that publishes keys in Google's place."""
    server = KeyServer()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, elsewhere: PictureServer, google: KeyServer) -> Iterator[Stack]:
    """``darkroom up``, ready. It believes in forwarded addresses, so that each test has an address of its own."""
    environment = {
        "DARKROOM_GOOGLE_CLIENT_ID": CLIENT,
        "DARKROOM_GOOGLE_JWKS_URL": google.url,
        "DARKROOM_REMOTE_FETCH_ALLOW": elsewhere.place,
        "DARKROOM_GATEWAY__TRUSTED_PROXIES": '["127.0.0.1"]',
    }
    made = Stack(tmp_path_factory.mktemp("contracts") / "data", environment)
    try:
        made.start()
        yield made
        if made.runs:
            made.stop()
    finally:
        made.kill()


def fresh_address() -> str:
    """An address that no other caller of this run has."""
    return str(ipaddress.ip_address(next(_addresses)))


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[Callable[..., httpx.AsyncClient]]:
    """Makes clients of the stack with headers of their own, each from a fresh address; none keeps cookies unasked."""
    made: list[httpx.AsyncClient] = []

    def make(**headers: str) -> httpx.AsyncClient:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client = httpx.AsyncClient(
            base_url=stack.url, headers={"X-Forwarded-For": fresh_address(), **named}, timeout=90.0
        )
        made.append(client)
        return client

    yield make
    for client in made:
        await client.aclose()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("contract")
        if mark is not None:
            item.user_properties.append(
                (CONTRACT_CHECK, mark.args)
            )  # goes along with its reports, between processes too
