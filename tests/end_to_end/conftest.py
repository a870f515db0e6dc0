"""The stack that these tests share, and a fresh user for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.client import Client
from tests.end_to_end.pictures_elsewhere import PictureServer, picture_server
from tests.stack import Stack


@pytest.fixture(scope="package")
def elsewhere() -> Iterator[PictureServer]:
    """A web server that the stack may fetch pictures from, although its address is private."""
    with picture_server() as server:
        yield server


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, elsewhere: PictureServer) -> Iterator[Stack]:
    """``darkroom up``, ready. Tests may kill and restart it; it must run again when they end."""
    environment = {"DARKROOM_REMOTE_FETCH_ALLOW": elsewhere.place}
    made = Stack(tmp_path_factory.mktemp("stack") / "data", environment)
    try:
        made.start()
        yield made
        if made.runs:
            made.stop()
    finally:
        made.kill()


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[Client]:
    """A user that nobody knows yet, with 20 credits."""
    async with Client(stack) as client:
        assert await client.grant(20) == 20
        yield client


@pytest.fixture
async def stranger(stack: Stack) -> AsyncIterator[Client]:
    """Another user, without credits."""
    async with Client(stack) as client:
        yield client
