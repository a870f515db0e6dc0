"""The three ends of an audit of the pins: nothing known, something known, nobody there to ask."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.advisories import PINS, audit, outcome_of


def ran(packages: list[dict[str, Any]] | None, code: int = 0, stderr: str = "") -> subprocess.CompletedProcess[str]:
    stdout = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    return subprocess.CompletedProcess(["pip-audit"], code, stdout, stderr)


GOOD = {"name": "pillow", "version": "13.0.0", "vulns": []}
WEAK = {"name": "pillow", "version": "9.0.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["9.0.1"], "aliases": []}]}
UNKNOWN = {"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited"}
AWAY = "ERROR:pip_audit._cli:Failed to connect"


def test_nothing_known_is_clean() -> None:
    assert outcome_of(ran([GOOD])).outcome == "clean"


def test_what_is_known_is_told_with_its_cure() -> None:
    told = outcome_of(ran([GOOD, WEAK], 1))
    assert told.outcome == "found"
    assert told.lines == ("pillow 9.0.0: PYSEC-1, mended in 9.0.1",)


@pytest.mark.parametrize(
    "answer",
    [
        ran(None, 1, AWAY),
        ran(None, 0),
        ran([], 0),
        ran([GOOD, UNKNOWN]),
        ran([GOOD], 1, AWAY),
    ],
)
def test_what_was_not_asked_about_is_never_clean(answer: subprocess.CompletedProcess[str]) -> None:
    assert outcome_of(answer).outcome == "not audited"


def test_a_weakness_outweighs_what_was_not_asked_about() -> None:
    assert outcome_of(ran([UNKNOWN, WEAK], 1)).outcome == "found"


@pytest.mark.parametrize(
    ("answer", "code", "begins"),
    [
        (ran([GOOD]), 0, "runtime.txt: clean"),
        (ran([WEAK], 1), 1, "runtime.txt: found"),
        (ran(None, 1, AWAY), 0, "not audited: runtime.txt: ERROR:pip_audit._cli:Failed to connect"),
    ],
)
def test_the_exit_code_fails_a_build_for_findings_alone(
    answer: subprocess.CompletedProcess[str], code: int, begins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Path] = []

    def run(pins: Path) -> subprocess.CompletedProcess[str]:
        asked.append(pins)
        return answer

    assert audit(run=run) == code
    assert capsys.readouterr().out.startswith(begins)
    assert [pins.name for pins in asked] == list(PINS)
    assert all(pins.is_file() for pins in asked)
