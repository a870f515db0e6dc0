"""Fixtures of the writing side over ports in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.fakes import Side, make_side


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    """The writing side with a decider that accepts everything."""
    made = make_side(tmp_path)
    async with made.http:
        yield made
