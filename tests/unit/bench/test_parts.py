"""The names of the bench's parts."""

import importlib

import pytest

from tests.bench.__main__ import GROWTH, QUICK
from tests.bench.smoke import PARTS


@pytest.mark.parametrize("name", [*QUICK, *GROWTH])
def test_each_part_is_there_and_can_be_measured(name: str) -> None:
    assert callable(importlib.import_module(f"tests.bench.parts.{name}").measure)


def test_the_smoke_bench_is_made_of_parts_of_the_bench() -> None:
    assert set(PARTS) <= set(QUICK)
