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
    """None where the kernel does not group by session, and in the session that the machine began with."""
    return int(text.rpartition("nice")[2]) if "nice" in text else None


def _told(first: str, leads: bool) -> tuple[int, int | None]:
    """The nice value of a new process, and of its group, after it did `first`."""
    argv = (sys.executable, "-c", PROGRAM.format(first, READ))
    done = subprocess.run(argv, capture_output=True, text=True, check=True, start_new_session=leads)
    nice, group = done.stdout.split("\n", 1)
    return int(nice), _group_nice(group)


@pytest.mark.parametrize("leads", [True, False], ids=["leads its session", "one of a session"])
def test_a_group_gives_way_only_with_its_leader(leads: bool) -> None:
    before, group = _told("pass", leads)
    after = _told("give_way(7)", leads)
    assert after == (min(19, before + 7), 7 if leads and group is not None else group)


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
