"""Planted bugs have a place to stand: the code that they change is there, once, and is code afterwards."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.planted.__main__ import BUGS, commands
from tests.planted.bug import Bug

ROOT = Path(__file__).parents[2]


def test_there_are_thirty_or_more_and_each_has_a_name_of_its_own() -> None:
    assert len(BUGS) >= 30
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert {catcher for bug in BUGS for catcher in bug.catchers} <= set(commands(1))


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_bug_changes_one_place_and_leaves_a_program(bug: Bug, tmp_path: Path) -> None:
    file = tmp_path / bug.path
    file.parent.mkdir(parents=True)
    before = (ROOT / bug.path).read_text(encoding="utf-8")
    file.write_text(before, encoding="utf-8")
    bug.plant(tmp_path)
    after = file.read_text(encoding="utf-8")
    assert after != before
    ast.parse(after)
    with pytest.raises(ValueError, match="stands 0 times"):
        Bug("none", "nothing", bug.path, "this stands nowhere", "").plant(tmp_path)
