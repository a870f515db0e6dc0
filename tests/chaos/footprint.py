"""What a stack holds while it is struck: memory, open handles, shared memory and temporary disk, by quarters of a run.

Processes come and go under faults, so what is looked at is the whole: the proportional memory (PSS) and the handles of
every process that the supervisor started, summed by role while all of the role are healthy; bytes in /dev/shm under the
stack's prefix; bytes in the stack's own folder for temporary files. A run is flat where the median of its last quarter
is not above that of its second one by more than a tenth and a slack; the first quarter fills caches.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.arena import Arena

_LOOK_EVERY_S = 10.0
_MIB = 1 << 20
_SHARED = Path("/dev/shm")
GROWTH_MAX = 1.1
SLACK: Mapping[str, float] = {"MiB": 48.0, "handles": 64.0}


@dataclass(frozen=True)
class Sample:
    """One look, ``at_s`` after the first: values by name, such as ``memory gateway, MiB``."""

    at_s: float
    values: Mapping[str, float]


class Footprint:
    """Watches an arena's stack; `samples` holds every look."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self.samples: list[Sample] = []

    async def watch(self) -> None:
        """Look until cancelled."""
        began_s = time.monotonic()
        while True:
            values = await asyncio.to_thread(self._look)
            self.samples.append(Sample(time.monotonic() - began_s, values))
            await asyncio.sleep(_LOOK_EVERY_S)

    def _look(self) -> Mapping[str, float]:
        found: defaultdict[str, float] = defaultdict(float)
        rows = self._arena.rows()
        away = {_role(name) for name, row in rows.items() if not row["healthy"]}
        for name, row in rows.items():
            role = _role(name)
            for process in _tree(None if role in away else row["pid"]):
                with suppress(psutil.Error):
                    found[f"memory {role}, MiB"] += process.memory_full_info().pss / _MIB
                    found[f"open {role}, handles"] += process.num_fds()
        shared = (_SHARED / region for region in self._arena.stack.regions())
        found["/dev/shm, MiB"] = sum(map(_bytes, shared)) / _MIB
        found["temporary disk, MiB"] = sum(map(_bytes, self._arena.temporary.rglob("*"))) / _MIB
        return found


def quarters(samples: Sequence[Sample]) -> dict[str, tuple[float, float, float, float]]:
    """The median of each quarter of the run, by name, over the looks that have it; nothing of a run with too few."""
    if len(samples) < 8:
        return {}
    size = len(samples) / 4
    parts = [samples[round(size * number) : round(size * (number + 1))] for number in range(4)]
    names = sorted({name for sample in samples for name in sample.values})
    first, second, third, last = ({name: _median(name, part) for name in names} for part in parts)
    return {name: (first[name], second[name], third[name], last[name]) for name in names}


def growing(found: Mapping[str, tuple[float, float, float, float]]) -> list[str]:
    """A line for each value that is not flat."""
    return [
        f"{name}: {second:.0f} in the second quarter, {last:.0f} in the last one"
        for name, (_, second, _, last) in found.items()
        if last > GROWTH_MAX * second + SLACK[name.rpartition(", ")[2]]
    ]


def _median(name: str, samples: Sequence[Sample]) -> float:
    return statistics.median([sample.values[name] for sample in samples if name in sample.values] or [0.0])


def _role(name: str) -> str:
    return name.partition("-")[0]


def _tree(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512 if path.is_file() else 0
    except OSError:
        return 0
