"""``python -m tests.chaos``: a seeded nemesis over the real stack under load, and a table of what held.

Bounded by ``--minutes`` or ``--strikes``. Exit code 1 where anything does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.faults.fault import Fault
from tests.chaos.faults.registry import every_fault
from tests.chaos.runner import Asked, run
from tests.chaos.table import Result, as_json, text, together

RESULTS = Path(__file__).with_name("results.json")
_DEFAULT_MINUTES = 5.0


def main() -> int:
    """Run, print the table, and say by the exit code whether everything holds."""
    given = _arguments()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each try while the broker is down
    asked = Asked(
        seed=given.seed,
        minutes=given.minutes,
        strikes=given.strikes,
        commands_a_second=given.commands_a_second,
        at_once=given.at_once,
        each_once=given.each_once,
        every_s=given.every,
        alone=given.alone,
    )
    with tempfile.TemporaryDirectory(prefix="darkroom-chaos-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) if given.keep is None else Path(given.keep)
        root.mkdir(parents=True, exist_ok=True)
        began = os.getloadavg()[0]
        result = asyncio.run(_until_done(asked, _chosen(given.faults), root))
    print(text(result), flush=True)
    if given.write:
        machine = {"cores": os.cpu_count(), "load_before": began, "load_after": os.getloadavg()[0]}
        _write(given.write, as_json(result) | {"machine": machine})
    return 0 if result.holds else 1


def _write(path: Path, figures: dict[str, Any]) -> None:
    """Add a run to those in the file, and sum them up."""
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    runs.append(figures)
    path.write_text(json.dumps({"together": together(runs), "runs": runs}, indent=1) + "\n", encoding="utf-8")


async def _until_done(asked: Asked, faults: Sequence[Fault], root: Path) -> Result:
    """The run; signals end it in order, so that neither processes nor mounts are left."""
    running = asyncio.ensure_future(run(asked, faults, root, _tell))
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, running.cancel)
    return await running


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Faults over the real stack under load.")
    parser.add_argument("--minutes", type=float, help=f"for so long (default {_DEFAULT_MINUTES:g}, without --strikes)")
    parser.add_argument("--strikes", type=int, help="so many strikes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", help=f"these alone, with commas: {', '.join(f.name for f in every_fault())}")
    parser.add_argument("--commands-a-second", type=float, default=15.0)
    parser.add_argument("--at-once", type=int, default=5, help="faults at work in a melee (default 5)")
    parser.add_argument("--every", metavar="SECONDS", type=float, help="a fault each so many seconds, and no melees")
    parser.add_argument("--alone", action="store_true", help="each fault by itself, on a whole stack")
    parser.add_argument("--each-once", action="store_true", help="begin with every fault")
    parser.add_argument("--keep", metavar="DIR", help="keep the stack's data and every answer there")
    parser.add_argument("--write", nargs="?", type=Path, const=RESULTS, help="add the figures to this file of JSON")
    given = parser.parse_args()
    if given.minutes is None and given.strikes is None:
        given.minutes = _DEFAULT_MINUTES
    return given


def _chosen(names: str | None) -> tuple[Fault, ...]:
    known = {fault.name: fault for fault in every_fault()}
    if names is None:
        return tuple(known.values())
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"There is no fault {unknown[0]}: choose among {', '.join(known)}.")
    return tuple(known[name] for name in wanted)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
