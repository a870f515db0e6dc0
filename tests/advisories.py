"""Known weaknesses in what is pinned: `python -m tests.advisories` asks an advisory service by pip-audit.

    exit code 1   a pinned package has a known weakness; each is printed
    exit code 0   none has, or the service did not answer: then the last line begins with `not audited:`

The service is strict about nothing but itself: a package that it does not know is an audit that has not taken place,
and is never told as a clean one. Each file of pins is asked about by itself.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

PINS = ("runtime.txt", "local.txt", "triton.txt", "dev.txt")
_FOLDER = Path(__file__).resolve().parents[1] / "requirements"
_LIMIT_S = 90.0
_OPTIONS = ("--strict", "--disable-pip", "--no-deps", "--progress-spinner", "off", "--desc", "off", "--format", "json")

Outcome = Literal["clean", "found", "not audited"]


class Audited(NamedTuple):
    """What an audit came to, and its lines."""

    outcome: Outcome
    lines: tuple[str, ...] = ()


class _Weakness(msgspec.Struct):
    id: str
    fix_versions: list[str] = []


class _Package(msgspec.Struct):
    name: str
    version: str = ""
    vulns: list[_Weakness] = []
    skip_reason: str | None = None


class _Report(msgspec.Struct):
    dependencies: list[_Package]


Run = Callable[[Path], subprocess.CompletedProcess[str]]


def outcome_of(ran: subprocess.CompletedProcess[str]) -> Audited:
    """What pip-audit's answer means."""
    try:
        packages = msgspec.json.decode(ran.stdout, type=_Report).dependencies
    except msgspec.DecodeError:
        said = [line for line in ran.stderr.splitlines() if line.strip()] or ["pip-audit said nothing"]
        return Audited("not audited", (said[-1],))
    found = tuple(_told(package, weakness) for package in packages for weakness in package.vulns)
    if found:
        return Audited("found", found)
    skipped = [package for package in packages if package.skip_reason is not None]
    if skipped or not packages or ran.returncode != 0:
        reason = skipped[0].skip_reason if skipped else "pip-audit named no package, or failed"
        return Audited("not audited", (str(reason),))
    return Audited("clean")


def _told(package: _Package, weakness: _Weakness) -> str:
    cure = f"mended in {', '.join(weakness.fix_versions)}" if weakness.fix_versions else "not mended yet"
    return f"{package.name} {package.version}: {weakness.id}, {cure}"


def run_pip_audit(pins: Path) -> subprocess.CompletedProcess[str]:
    """Ask about one file of pins."""
    argv = (sys.executable, "-m", "pip_audit", *_OPTIONS, "-r", str(pins))
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 1, "", f"no answer within {_LIMIT_S:.0f} s")


def audit(names: Sequence[str] = PINS, run: Run = run_pip_audit) -> int:
    """Print what is known about each file; the exit code."""
    code = 0
    for name in names:
        audited = outcome_of(run(_FOLDER / name))
        if audited.outcome == "found":
            code = 1
        if audited.outcome == "not audited":
            print(f"not audited: {name}: {audited.lines[0]}")
        else:
            print("\n".join([f"{name}: {audited.outcome}", *audited.lines]))
    return code


if __name__ == "__main__":
    sys.exit(audit())
