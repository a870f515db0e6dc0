"""A process gives way alone, or with its group where the session is its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.process import Child, Command, inherited
from infra.priority import BEHIND_ANSWERS, give_way

OWN_GROUP = Path("/proc/self/autogroup")
PROGRAM = "import os, pathlib; from infra.priority import give_way; {}; print(os.nice(0)); print({})"
READ = f"pathlib.Path({str(OWN_GROUP)!r}).read_text() if {OWN_GROUP.exists()} else 'no groups'"


def _group_nice(text: str) -> int | None:
    """None where the kernel does not group by session."""
    return int(text.rpartition("nice")[2]) if "nice" in text else None


@pytest.mark.parametrize("leads", [True, False], ids=["leads its session", "one of a session"])
def test_a_group_gives_way_only_with_its_leader(leads: bool) -> None:
    group = _group_nice(OWN_GROUP.read_text()) if OWN_GROUP.exists() else None
    argv = (sys.executable, "-c", PROGRAM.format("give_way(7)", READ))
    done = subprocess.run(argv, capture_output=True, text=True, check=True, start_new_session=leads)
    nice, told = done.stdout.split("\n", 1)
    assert int(nice) == min(19, os.nice(0) + 7)
    assert _group_nice(told) == (7 if leads and group is not None else group)


def test_a_kernel_without_groups_is_no_error(tmp_path: Path) -> None:
    give_way(0, tmp_path / "none" / "autogroup")


async def test_a_child_starts_with_the_priority_that_its_command_says(tmp_path: Path) -> None:
    child = Child(Command(("/bin/sleep", "60"), inherited(), nice=BEHIND_ANSWERS), tmp_path / "log")
    try:
        await asyncio.sleep(0)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(19, os.nice(0) + BEHIND_ANSWERS)
    finally:
        child.signal_group(signal.SIGKILL)
        await child.wait()
