"""What the bench keeps of a release, and what it calls grown."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from tests.bench import history
from tests.bench.history import Entry

ENTRY = Entry(
    version="1.0",
    per_1000_jobs={"bytes": 3000.0},
    per_operation={"records": 4.0},
    cpu_ratio={"CPU": 2.0},
    under_load={"records": 3.0},
    cpu_s_per_1000_jobs={"gateway": 1.0},
)
KINDS = (("per_1000_jobs", "bytes", 3000.0), ("per_operation", "records", 4.0), ("cpu_ratio", "CPU", 2.0))


@pytest.mark.parametrize(("kind", "name", "value"), KINDS)
def test_a_counted_figure_may_grow_by_half(kind: str, name: str, value: float) -> None:
    as_much = msgspec.structs.replace(ENTRY, **{kind: {name: 1.5 * value}})
    more = msgspec.structs.replace(ENTRY, **{kind: {name: 1.51 * value}})
    assert history.grown(as_much, [ENTRY]) == []
    assert [text.split(":")[0] for text in history.grown(more, [ENTRY])] == [name]


@pytest.mark.parametrize(("kind", "name", "value"), KINDS)
def test_a_figure_that_is_no_longer_counted_is_told(kind: str, name: str, value: float) -> None:
    found = history.grown(msgspec.structs.replace(ENTRY, **{kind: {}}), [ENTRY])
    assert found == [f"{name} is no longer counted ({value:g} in 1.0)"]


def test_what_is_new_and_what_is_a_time_is_not_judged() -> None:
    slow = msgspec.structs.replace(
        ENTRY,
        under_load={"records": 9.0},
        cpu_s_per_1000_jobs={"gateway": 9.0},
        cpu_ratio={"CPU": 2.0, "new": 7.0},
    )
    assert history.grown(slow, [ENTRY]) == []
    assert history.grown(slow, []) == []


def test_the_last_release_counts() -> None:
    frugal = msgspec.structs.replace(ENTRY, version="1.1", per_operation={"records": 1.0})
    assert len(history.grown(ENTRY, [ENTRY, frugal])) == 1
    assert history.grown(ENTRY, [frugal, ENTRY]) == []


def test_each_version_has_one_entry(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    assert history.read(path) == []
    newer = msgspec.structs.replace(ENTRY, version="1.1")
    again = msgspec.structs.replace(newer, per_operation={"records": 3.0})
    for entry in (ENTRY, newer, again):
        history.write(entry, path)
    assert history.read(path) == [ENTRY, again]


def test_the_history_has_each_version_once_and_this_one_is_what_pyproject_states() -> None:
    versions = [entry.version for entry in history.read()]
    assert len(set(versions)) == len(versions)
    stated = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["version"]
    assert history.version() == stated
