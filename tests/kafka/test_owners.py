"""Owners that were given up leave nothing behind: with one goes the whole state of its partition."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from infra.settings import Settings
from processors.app import processor_owners

pytestmark = pytest.mark.servers


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The generation of each collection that somebody asks for; none comes by itself."""
    asked: list[int] = []

    def note(phase: str, told: dict[str, int]) -> None:
        if phase == "start":
            asked.append(told["generation"])

    gc.disable()
    gc.callbacks.append(note)
    try:
        yield asked
    finally:
        gc.callbacks.remove(note)
        gc.enable()


async def test_an_owner_that_its_error_holds_is_gone_when_the_next_one_is_made(
    kafka: Settings, collections: list[int]
) -> None:
    async with processor_owners(kafka) as make:
        owner = await make(0)
        error = RuntimeError(owner)
        owner.__dict__["failed"] = error
        given_up = weakref.ref(owner)
        del owner, error
        assert given_up() is not None
        await make(0)
        assert given_up() is None
        assert collections == [2]


async def test_where_no_owner_lingers_nobody_waits_for_a_collection(kafka: Settings, collections: list[int]) -> None:
    async with processor_owners(kafka) as make:
        first, second = await make(0), await make(1)
        del first
        third = await make(0)
        assert collections == []
        del second, third
