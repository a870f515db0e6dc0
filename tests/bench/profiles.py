"""Where the CPU of a role goes under the bench's loads: ``python -m tests.bench.profiles submits``.

py-spy looks at the role 250 times a second, whenever it holds the interpreter, and each look counts for the module of
ours that was at work, or that had called the library that was; what libraries took of its share stands beside it. The
looking slows the role down, so read shares and no rates. Needs the right to trace a process (`CAP_SYS_PTRACE`).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench import decide
from tests.bench.children import BenchChild
from tests.bench.clients import shapes
from tests.bench.load import Shape, run_load
from tests.bench.parts import batches, decisions, latencies, submits
from tests.bench.station import Station, station

LOOKS_A_SECOND = 250
SECONDS = 10
CONNECTIONS = {
    "submits": submits.CONNECTIONS,
    "batches": batches.CONNECTIONS,
    "echo": latencies.RESULT_CONNECTIONS,
}
LINES_MAX = 24
ALL_ROLES = ("processor-0", "dispatcher-0", "projector-0", "gateway-0")
OURS = ("schemas/", "ingest/", "processors/", "projections/", "api/", "infra/")
THE_SERVER = ("infra/cli/", "processors/app.py", "processors/dispatch/app.py")
"""Entry points: what is at work right below them is the HTTP server, the event loop or the Kafka client itself."""


def shares(stacks: Iterable[str]) -> tuple[int, Mapping[str, Counter[str]]]:
    """How many looks there were, and for each module of ours how many by the library at work ("" is its own code).

    `stacks` are py-spy's raw lines: frames from the outermost on, ``function (file:line)``, joined by ``;``, and a
    count.
    """
    total, by_module = 0, defaultdict[str, Counter[str]](Counter)
    for line in stacks:
        frames, _, count = line.rstrip().rpartition(" ")
        files = [frame.rpartition("(")[2].partition(":")[0].rstrip(")") for frame in frames.split(";")]
        ours = [file for file in files if file.startswith(OURS)]
        module = ours[-1] if ours and not ours[-1].startswith(THE_SERVER) else "(server, loop, clients)"
        library = "" if ours and files[-1] == ours[-1] else files[-1].partition("/")[0].removesuffix(".py")
        by_module[module][library] += int(count)
        total += int(count)
    return total, by_module


def table(total: int, by_module: Mapping[str, Counter[str]]) -> str:
    """The modules with the greatest shares as a Markdown table."""
    lines = ["| share | at work | of it in libraries |", "|---|---|---|"]
    ranked = sorted(by_module.items(), key=lambda item: -item[1].total())
    for module, counts in ranked[:LINES_MAX]:
        inside = [f"{name} {count / total:.1%}" for name, count in counts.most_common(4) if name]
        lines.append(f"| {counts.total() / total:.1%} | {module} | {', '.join(inside)} |")
    rest = sum(counts.total() for _, counts in ranked[LINES_MAX:])
    return "\n".join([*lines, f"| {rest / total:.1%} | {len(ranked[LINES_MAX:])} others | |"])


@contextmanager
def looked_at(child: BenchChild, seconds: int, raw: Path) -> Iterator[Callable[[], bool]]:
    """Look at the child for so long; what is yielded tells whether that still goes on."""
    looks = ("--gil", "--rate", str(LOOKS_A_SECOND), "--duration", str(seconds))
    command = (str(Path(sys.executable).with_name("py-spy")), "record", *looks, "--format", "raw", "-o", str(raw))
    with subprocess.Popen((*command, "--pid", str(child.pid)), stdout=subprocess.DEVNULL) as spy:
        yield lambda: spy.poll() is None
        if spy.wait():
            raise SystemExit(f"py-spy ended with {spy.returncode}: it has to be allowed to trace {child.name}")


async def _decisions(at: Station, processor: BenchChild, seconds: int, raw: Path) -> None:
    """Rounds of submits that stand on the log already."""
    async with decide.Answers(at.settings) as answers:
        numbers = itertools.count()
        one = partial(decide.ours, at.settings, answers, processor, count=decisions.COMMANDS_A_ROUND)
        await one(next(numbers))
        with looked_at(processor, seconds, raw) as going_on:
            while going_on():
                await one(next(numbers))


def _requests(at: Station, scene: str, child: BenchChild, seconds: int, raw: Path) -> None:
    """A closed loop of the scene's requests."""
    what = tuple(_shapes(at, scene))

    def load(run_s: float) -> None:
        run_load(at.load(f"{scene}-{time.monotonic_ns()}", CONNECTIONS[scene], what, run_s=run_s))

    load(submits.WARM_S)
    with looked_at(child, seconds, raw) as going_on:
        while going_on():
            load(1.0)


def _shapes(at: Station, scene: str) -> Iterable[Shape]:
    match scene:
        case "batches":
            return [batches.batch(token, batches.PAIRED[0], batches.ON_THE_LOG) for token in at.tokens]
        case "echo":
            return shapes(at.tokens, latencies.ECHO, "wait=30")
        case _:
            return shapes(at.tokens, submits.BODY, batches.ON_THE_LOG)


def profile(at: Station, scene: str, role: str, seconds: int, raw: Path) -> None:
    """Leave py-spy's raw output of the scene."""
    names = {"decisions": ("processor-0",), "echo": ALL_ROLES}.get(scene, ("gateway-0",))
    child = dict(zip(names, at.roles(*names), strict=True))[role]
    if scene == "decisions":
        asyncio.run(_decisions(at, child, seconds, raw))
    else:
        _requests(at, scene, child, seconds, raw)


def main() -> None:
    """Print the profile that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profiles")
    parser.add_argument("scene", choices=("submits", "batches", "decisions", "echo"))
    parser.add_argument("--role", choices=ALL_ROLES, help="of echo: which one (dispatcher-0)")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    asked = parser.parse_args()
    role = asked.role or {"echo": "dispatcher-0", "decisions": "processor-0"}.get(asked.scene, "gateway-0")
    os.environ["DARKROOM_PLAN_PATH"] = str(Path(__file__).with_name("plan.toml"))
    with tempfile.TemporaryDirectory(prefix="darkroom-profile-") as folder:
        raw = Path(folder) / "raw"
        with station(Path(folder) / "bench") as at:
            profile(at, asked.scene, role, asked.seconds, raw)
        print(f"{asked.scene}: {role}\n")
        print(table(*shares(raw.read_text().splitlines())))


if __name__ == "__main__":
    main()
