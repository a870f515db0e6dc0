"""What a job and a read have cost in counted work, release by release: `history.json` beside this file.

What is counted of jobs one at a time, and CPU beside the bare component of the same run, hardly depend on the machine
and are held against the last release. Under load a slow machine puts more jobs into a transaction, so what is counted
there is kept to be read, as CPU-seconds are; times and rates are not kept at all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

HISTORY = Path(__file__).with_name("history.json")
GROWN_MAX = 1.5
_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


class Entry(msgspec.Struct, frozen=True):
    """One release. `per_1000_jobs` are bytes, `per_operation` what the names say, `cpu_ratio` ours by bare.

    `under_load` and `cpu_s_per_1000_jobs` of each process are told and not judged.
    """

    version: str
    per_1000_jobs: Mapping[str, float]
    per_operation: Mapping[str, float]
    cpu_ratio: Mapping[str, float]
    under_load: Mapping[str, float]
    cpu_s_per_1000_jobs: Mapping[str, float]

    @property
    def judged(self) -> dict[str, float]:
        """Every figure that must not grow."""
        return {**self.per_1000_jobs, **self.per_operation, **self.cpu_ratio}


def version() -> str:
    """The version that pyproject states."""
    return str(tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]["version"])


def read(path: Path = HISTORY) -> list[Entry]:
    """All entries, the oldest first."""
    return msgspec.json.decode(path.read_bytes(), type=list[Entry]) if path.exists() else []


def write(entry: Entry, path: Path = HISTORY) -> None:
    """Store the entry, in the place of that of its version if there is one."""
    others = [old for old in read(path) if old.version != entry.version]
    path.write_bytes(msgspec.json.format(msgspec.json.encode([*others, entry]), indent=1) + b"\n")


def grown(entry: Entry, known: Sequence[Entry]) -> list[str]:
    """A sentence for each figure that is more than `GROWN_MAX` times that of the last release, or no longer there."""
    if not known:
        return []
    last, now, texts = known[-1], entry.judged, []
    for name, before in last.judged.items():
        if name not in now:
            texts.append(f"{name} is no longer counted ({before:g} in {last.version})")
        elif now[name] > GROWN_MAX * before:
            texts.append(f"{name}: {now[name]:g}, more than {GROWN_MAX:g} times the {before:g} of {last.version}")
    return texts


def markdown(entry: Entry) -> str:
    """Everything of the entry as a table."""
    lines = [f"| counted, {entry.version} | |", "|---|---|"]
    lines += [f"| {name} | {_told(value)} |" for name, value in ({**entry.judged, **entry.under_load}).items()]
    lines += [
        f"| CPU-seconds per 1,000 jobs: {name} | {value:.3g} |" for name, value in entry.cpu_s_per_1000_jobs.items()
    ]
    return "\n".join(lines)


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
