"""Plant each bug in a copy and see who catches it: ``python -m tests.planted [--only WORDS] [--seeds 100]``.

A copy of the tracked files is made once; each bug is planted there, its catchers are asked in turn, and the file is put
back. Before the first bug every catcher has to pass on the copy as it is: one that always fails catches nothing. One
that does not come to an end in several times as long catches the bug too, and the table says so. It says who caught it
and after how long; exit code 1 where a bug was caught by nobody.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.planted.bug import Bug, Catcher
from tests.planted.deciding import DECIDING
from tests.planted.following import FOLLOWING
from tests.planted.owning import OWNING

BUGS: Sequence[Bug] = (*DECIDING, *OWNING, *FOLLOWING)
_ROOT = Path(__file__).resolve().parents[2]
_PYTEST = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
_LIMIT_S = 300.0
_LONGER = 5.0


def commands(seeds: int) -> Mapping[Catcher, tuple[str, ...]]:
    """What each catcher runs."""
    return {
        "simulation": ("-m", "tests.simulation.play", "--seeds", str(seeds), "--first-failure", "--jobs", "2"),
        "properties": (
            *_PYTEST,
            "-n2",
            "tests/properties",
            "tests/simulation/test_calm.py",
            "tests/simulation/test_owner.py",
            "tests/simulation/test_troubles.py",
        ),
        "kafka": (*_PYTEST, "tests/kafka", "tests/ports/test_transactions.py"),
        "store": (*_PYTEST, "tests/ports/test_read_models.py", "tests/ports/test_rebuild.py"),
    }


class Copy:
    """A copy of the tracked files in which bugs are planted."""

    def __init__(self, root: Path, seeds: int) -> None:
        self.root = root
        self._commands = commands(seeds)
        self._limits_s: dict[Catcher, float] = {}
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, stdout=subprocess.PIPE, check=True)
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (_ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(_ROOT / name, root / name)
        for name in (".venv", ".venv-triton"):
            if (_ROOT / name).exists():
                (root / name).symlink_to(_ROOT / name)

    def passes(self, catcher: Catcher) -> bool:
        """Whether the catcher passes on the copy as it is. How long it took says how long it may take with a bug."""
        started = time.monotonic()
        code = self._run(catcher, limit_s=None)
        self._limits_s[catcher] = max(_LIMIT_S, _LONGER * (time.monotonic() - started))
        return code == 0

    def caught_by(self, bug: Bug) -> str | None:
        """Who catches the bug; None: nobody."""
        file = self.root / bug.path
        before = file.read_bytes()
        bug.plant(self.root)
        try:
            for catcher in bug.catchers:
                code = self._run(catcher, self._limits_s[catcher])
                if code != 0:
                    return catcher if code is not None else f"{catcher}, which does not end"
            return None
        finally:
            file.write_bytes(before)

    def _run(self, catcher: Catcher, limit_s: float | None) -> int | None:
        """The exit code of the catcher on the copy as it stands; None for one that does not come to an end."""
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            (sys.executable, *self._commands[catcher]),
            cwd=self.root,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as running:
            try:
                return running.wait(limit_s)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)  # its own processes, too
                return None


def main() -> int:
    """Plant them; the exit code."""
    parser = argparse.ArgumentParser(description="Plant bugs and see them caught.")
    parser.add_argument("--only", default="", help="bugs whose name holds these words")
    parser.add_argument("--seeds", type=int, default=100)
    asked = parser.parse_args()
    bugs = [bug for bug in BUGS if asked.only in bug.name]
    missed = []
    with tempfile.TemporaryDirectory(prefix="darkroom-planted-") as folder:
        copy = Copy(Path(folder), asked.seeds)
        for catcher in dict.fromkeys(catcher for bug in bugs for catcher in bug.catchers):
            if not copy.passes(catcher):
                print(f"{catcher} fails without any bug: mend that first", file=sys.stderr)
                return 2
        print("| bug | what it breaks | caught by | seconds |\n|---|---|---|---|")
        for bug in bugs:
            started = time.monotonic()
            caught = copy.caught_by(bug)
            missed += [bug.name] if caught is None else []
            print(
                f"| {bug.name} | {bug.breaks} | {caught or 'NOBODY'} | {time.monotonic() - started:.0f} |", flush=True
            )
    print(f"\n{len(bugs) - len(missed)} of {len(bugs)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
