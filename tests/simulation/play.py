"""Play lives of the whole pipeline: ``python -m tests.simulation.play --seeds 0-99 --jobs 2``.

The first seed that fails prints what it found and the command that plays it again, and the status is 1. At the end
stands what really struck: a table of faults and of what they led to, and seeds a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from infra.garbage import collect_seldom
from tests.simulation.life import play

_PROGRESS_EVERY_S = 1.0
_LIVES_A_PROCESS = 200


class Played(NamedTuple):
    """A life that was played; `fault` is what it found."""

    seed: int
    fingerprint: str
    counts: dict[str, int]
    fault: str | None


def play_one(seed: int) -> Played:
    """Play a seed; whatever it raises becomes text."""
    try:
        return Played(seed, *play(seed), None)
    except BaseException:
        if sys.exc_info()[0] is KeyboardInterrupt:
            raise
        return Played(seed, "", {}, traceback.format_exc())


def play_all(seeds: Sequence[int], jobs: int) -> Iterator[Played]:
    """Play the seeds in so many processes, as they end."""
    if jobs == 1 or len(seeds) == 1:
        collect_seldom()
        yield from map(play_one, seeds)
        return
    context = multiprocessing.get_context("forkserver")
    with context.Pool(jobs, initializer=collect_seldom, maxtasksperchild=_LIVES_A_PROCESS) as pool:
        yield from pool.imap_unordered(play_one, seeds)


def replay(seed: int) -> str:
    """The command that plays a seed again."""
    return f"python -m tests.simulation.play --seeds {seed}-{seed}"


def parsed_seeds(text: str) -> range:
    """`FIRST-LAST`, both played, or a number of seeds from 0 on."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(int(first))


def table(counts: Counter[str]) -> str:
    """What struck, most often first."""
    return "\n".join(
        f"{times:>9,}  {what}" for what, times in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every life held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.play", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=parsed_seeds, default=range(100), help="FIRST-LAST, or how many from 0 on")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--first-failure", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--fingerprints", action="store_true", help="print a hash of each life's bytes")
    chosen = parser.parse_args(arguments)
    begun_s, told_s = time.monotonic(), 0.0
    counts, failed, done = Counter[str](), list[int](), 0
    for played in play_all(chosen.seeds, chosen.jobs):
        done += 1
        counts.update(played.counts)
        if played.fault is not None:
            failed.append(played.seed)
            print(f"seed {played.seed} failed\n{played.fault}replay: {replay(played.seed)}", flush=True)
            if chosen.first_failure:
                break
        elif chosen.fingerprints:
            print(f"{played.seed} {played.fingerprint}", flush=True)
        if time.monotonic() - told_s >= _PROGRESS_EVERY_S or done == len(chosen.seeds):
            told_s = time.monotonic()
            rate = done / (told_s - begun_s)
            print(
                f"\r{done}/{len(chosen.seeds)} seeds, {rate:.2f} a second, {len(failed)} failed",
                end="",
                file=sys.stderr,
                flush=True,
            )
    took_s = time.monotonic() - begun_s
    print(file=sys.stderr)
    if not chosen.fingerprints:
        print(table(counts))
        print(
            f"{done} seeds in {took_s:.1f} s, {done / took_s:.2f} seeds a second, {len(failed)} failed {failed or ''}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
