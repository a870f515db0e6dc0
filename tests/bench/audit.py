"""Memory and pace of the audit against the length of the log: ``python -m tests.bench.audit --events 100000 1000000``.

For each length a log that deciders have really written is put into files (`tests.bench.audit_log`), and then audited
in a process of its own: every law, the commands decided again, state = fold of events, and beside it what the log says
of the object store, of a client's answers and of the rows of all read models. PostgreSQL, S3 and Kafka are left out, so
that memory is the audit's alone. Prints events a second of CPU time, which a machine that does other things does not
change much, and the greatest resident memory; and a line to extrapolate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infra.cli.audit_objects import StoredObjects
from infra.cli.audit_told import LogFacts
from infra.cli.read_model_fold import add_to_all, folds
from processors.audit_spill import Spill, sorted_items
from processors.effects import Addressing
from processors.partition_audit import PartitionAuditor
from schemas.events import Event, decode_event
from schemas.topics import EVENTS
from tests.bench.audit_log import DecidedPartition, FileLog

PARTITIONS = 8
_PEAK = 1 << 10


def _peak_mib() -> float:
    """The greatest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _PEAK


async def _partitions(log: FileLog, beside: Spill) -> dict[str, float]:
    stored, facts = StoredObjects(beside), LogFacts(beside)
    events, started = 0, time.process_time()
    for number in range(PARTITIONS):
        with Spill() as shelf:
            auditor = PartitionAuditor(
                log, number, Addressing("bench", PARTITIONS), shelf, listeners=[stored.add, facts.add]
            )
            found = await auditor.audit(quiet=True)
            wrong = [violation for violation in found.violations if violation.law != "every-job-ends"]
            if wrong or found.decided_again != found.audit.events:
                raise SystemExit(f"a true log is found wrong: {wrong[:3]}")
            events += found.audit.events
    seconds = time.process_time() - started
    return {"events": events, "a_second": events / seconds, "objects": len(stored.owed), "jobs": len(facts.jobs)}


async def _rows(log: FileLog) -> dict[str, float]:
    """All read models folded and listed, as a comparison lists them."""
    started, events = time.process_time(), 0
    with Spill() as shelf:
        made = folds(shelf)
        for number in range(PARTITIONS):
            async for records in log.read(EVENTS, number, 0):
                for record in records:
                    event: Event = decode_event(record.value or b"")
                    add_to_all(list(made.values()), event)
                    events += 1
        tables = [table for fold in made.values() for table in (*fold.tables.values(), fold.counts.found.sums)]
        rows = sum(1 for table in tables for _ in sorted_items(table))
    return {"rows": rows, "rows_a_second": events / (time.process_time() - started)}


async def _audit(folder: Path) -> dict[str, float]:
    log = FileLog(folder)
    log.ends = {(topic, int(number)): end for topic, number, end in json.loads((folder / "ends").read_text())}
    before = _peak_mib()
    with Spill() as beside:
        figures = await _partitions(log, beside)
    figures["peak_mib"] = _peak_mib()
    figures |= await _rows(log)
    return {**figures, "before_mib": before, "peak_with_rows_mib": _peak_mib()}


def _write(folder: Path, events: int) -> None:
    log = FileLog(folder)
    for number in range(PARTITIONS):
        log.write(DecidedPartition(number, PARTITIONS), events // PARTITIONS)
    (folder / "ends").write_text(json.dumps([(*place, end) for place, end in log.ends.items()]))


def _measured(events: int) -> dict[str, float]:
    """The figures of a log of that length, from a process that has done nothing else."""
    with tempfile.TemporaryDirectory(prefix="darkroom-audit-bench-") as name:
        started = time.perf_counter()
        argv = [sys.executable, "-m", "tests.bench.audit"]
        subprocess.run([*argv, "--write", name, "--events", str(events)], check=True)
        print(f"a log of {events:,} events written in {time.perf_counter() - started:.0f} s", flush=True)
        ran = subprocess.run([*argv, "--audit", name], check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


def _print(figures: dict[str, float]) -> None:
    print(
        f"{figures['events']:>12,.0f} events: {figures['a_second']:>7,.0f} events a CPU second,"
        f" peak {figures['peak_mib']:.0f} MiB ({figures['before_mib']:.0f} before the first);"
        f" {figures['objects']:,.0f} objects owed; {figures['rows']:,.0f} rows of read models at"
        f" {figures['rows_a_second']:,.0f} events a CPU second, peak {figures['peak_with_rows_mib']:.0f} MiB",
        flush=True,
    )


def main() -> int:
    """Measure each length, one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--audit", type=Path)
    asked = parser.parse_args()
    if asked.write is not None:
        _write(asked.write, asked.events[0])
    elif asked.audit is not None:
        print(json.dumps(asyncio.run(_audit(asked.audit))))
    else:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        measured = [_measured(events) for events in asked.events]
        for figures in measured:
            _print(figures)
        last = measured[-1]
        minutes = 10_000_000 / last["a_second"] / 60 + 10_000_000 / last["rows_a_second"] / 60
        print(f"at that pace 10,000,000 events take {minutes:.0f} minutes of CPU time, laws and rows together")
    return 0


if __name__ == "__main__":
    sys.exit(main())
