"""A rebuild of all read models from a million events, beside constant reads and writes (`tests.bench.rebuild`)."""

from __future__ import annotations

from tests.bench import rebuild
from tests.bench.measure import check
from tests.bench.station import Bench, Station

EVENTS = 1_000_000


def measure(bench: Bench, at: Station) -> None:
    """Needs no role of the station; once, whatever the rounds."""
    at.roles()
    for said, checked, asked in rebuild.run(at.root / "rebuilds", EVENTS):
        failed = [*checked.failed, *asked.failed]
        check(not failed, f"reads beside a rebuild failed: {failed[:3]}")
        bench.notes.append(f"{said}; beside it, checked: {checked.text()}; by HTTP: {asked.text()}")
