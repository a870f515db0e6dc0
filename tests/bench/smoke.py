"""The smoke bench: ``python -m tests.bench.smoke``. Counted work beside the last release, and a round of a few pairs.

Times and rates are printed, never judged: the exit code is 1 only where something could not run, or where what was
counted has grown (`tests.bench.history`).
"""

from __future__ import annotations

import sys

from tests.bench.__main__ import run

ROUNDS = 1
PARTS = ("counted", "projections", "submits", "decisions")


if __name__ == "__main__":
    sys.exit(run(PARTS, ROUNDS))
