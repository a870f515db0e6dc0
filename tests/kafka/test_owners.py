"""Owners that were given up leave nothing behind: with one goes the whole state of its partition."""

from __future__ import annotations

import weakref

import pytest

from infra.settings import Settings
from processors.app import processor_owners

pytestmark = pytest.mark.servers


async def test_an_owner_that_nobody_holds_any_more_is_gone_when_the_next_one_is_made(kafka: Settings) -> None:
    async with processor_owners(kafka) as make:
        owner = await make(0)
        given_up = weakref.ref(owner)
        del owner
        await make(0)
        assert given_up() is None
