"""A child that runs as another user keeps one right only: to enter folders that are closed to strangers."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from infra.local.process import Command, User, inherited, run_as

ENTER = 1 << 1  # CAP_DAC_OVERRIDE


def test_a_child_as_another_user_enters_closed_folders_and_may_nothing_else(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    inside = closed / "file"
    inside.touch(mode=0o600)
    program = (
        "import os, pathlib\n"
        f"assert os.access({str(inside)!r}, os.R_OK), 'access(2) judges without the right'\n"
        "print(pathlib.Path('/proc/self/status').read_text())"
    )
    root = os.geteuid() == 0
    nobody = pwd.getpwnam("nobody")
    user = User(nobody.pw_uid, nobody.pw_gid) if root else None

    done = run_as(Command((sys.executable, "-c", program), inherited(), user=user))

    assert done.returncode == 0, done.stderr
    rows = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    uid = str(user.uid if user else os.geteuid())
    assert rows["Uid"].split() == [uid] * 4
    if root:
        assert int(rows["CapEff"], 16) == int(rows["CapPrm"], 16) == ENTER
