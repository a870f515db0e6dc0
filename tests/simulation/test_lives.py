"""A hundred lives of the whole pipeline under faults, each from its seed.

Replay one: python -m tests.simulation.play --seeds SEED-SEED
A night's worth: python -m tests.simulation.play --seeds 10000 --jobs 2
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.play import main, play_all, replay

SEEDS = range(100)
ROOT = Path(__file__).parents[2]
STRUCK = (
    "processor killed between two steps",
    "processor hung for 14 s",
    "rebalances",
    "members put out of their group",
    "a takeover aborted an open transaction",
    "an EndTxn of an old epoch was refused",
    "a Produce of an old epoch was refused",
    "a repeated Produce was recognised",
    "reply to EndTxnV5 lost",
    "projector killed between two steps",
    "read models wrote and did not answer",
    "dispatcher killed between two steps",
    "engine slower than a lease",
    "store wrote and did not answer",
    "clock of broker jumped back",
    "a decision raised",
    "unknown version",
    "garbage item",
)
"""Without these the lives would not have been what they are for."""


def test_lives_under_faults() -> None:
    counts, failed = Counter[str](), []
    for played in play_all(SEEDS, min(2, os.cpu_count() or 1)):
        counts.update(played.counts)
        if played.fault is not None:
            failed.append(f"{played.fault}replay: {replay(played.seed)}")
    assert not failed, "\n".join(failed)
    assert [what for what in STRUCK if counts[what] == 0] == []


def test_the_same_seed_lives_the_same_life_whatever_the_hash_seed() -> None:
    told = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation.play", "--seeds", "7-8", "--fingerprints"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        played = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert len(played.stdout.split()) == 4
        told.add(played.stdout)
    assert len(told) == 1


def test_a_seed_that_fails_prints_the_command_that_plays_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(seed: int) -> None:
        raise AssertionError(f"{seed} is wrong")

    monkeypatch.setattr("tests.simulation.play.play", broken)
    assert main(["--seeds", "3-9", "--first-failure"]) == 1
    printed = capsys.readouterr().out
    assert "3 is wrong" in printed
    assert "python -m tests.simulation.play --seeds 3-3" in printed
    assert "seed 4" not in printed
