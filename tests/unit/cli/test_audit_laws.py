"""The table of what is checked: every law that the code names stands in it, and nothing else does."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from infra.cli.audit import audit
from infra.cli.audit_laws import INVARIANTS

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [
    *(ROOT / "processors").glob("audit*.py"),
    ROOT / "processors" / "partition_audit.py",
    *(path for path in (ROOT / "infra" / "cli").glob("*audit*.py") if path.name != "audit_laws.py"),
]
_WORD = re.compile(r'"([a-z]+(?:-[a-z]+)+)"')
_LAW = re.compile(r'(?:yield |violated\(|_add\(|append\(\(|\*broken, \(|LAW\w* = )"([a-z]+(?:-[a-z]+){2,})"')


def test_the_laws_in_the_code_are_those_in_the_table() -> None:
    texts = [source.read_text() for source in SOURCES]
    listed = {law for invariant in INVARIANTS for law in invariant.laws}
    assert {law for text in texts for law in _LAW.findall(text)} <= listed
    assert listed <= {word for text in texts for word in _WORD.findall(text)}


def test_the_invariants_are_fifteen_and_each_names_what_shows_it() -> None:
    assert [invariant.name for invariant in INVARIANTS] == [f"I{number}" for number in range(1, 16)]
    for invariant in INVARIANTS:
        for name in re.findall(r"tests/[\w/.]+", invariant.elsewhere):
            assert (ROOT / name).exists(), f"{invariant.name} names {name}"


def test_the_table_is_printed_without_any_server() -> None:
    ran = CliRunner().invoke(audit, ["--explain"])
    assert ran.exit_code == 0
    for invariant in INVARIANTS:
        assert f"{invariant.name}  {invariant.asks}\n" in ran.stdout
