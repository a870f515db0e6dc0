"""The smoke bench: ``python -m tests.bench.smoke``. The parts that a change is most likely to slow down, in few rounds.

Times and rates are printed, never judged: the exit code is 1 only where something could not run, or where what was
counted is not what it must be.
"""

from __future__ import annotations

import sys

from tests.bench.__main__ import run

ROUNDS = 3
PARTS = ("projections", "idle", "jobs", "submits", "decisions")


if __name__ == "__main__":
    sys.exit(run(PARTS, ROUNDS))
