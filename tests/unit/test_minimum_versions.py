"""The least versions of what hostile bytes reach first, and of what loses data without a known cure.

Each was chosen for bugs that are open below it; the comment names them. Asserted of what is installed and of the pins,
because either may be changed without the other.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LEAST = {
    "starlette": "1.3.1",  # CVE-2025-54121, CVE-2025-62727, CVE-2026-54283, CVE-2026-48710
    "pillow": "12.3.0",  # thirteen holes below, bombs that are not seen among them
    "pillow-heif": "1.7.0",  # CVE-2026-84383: its libheif executes what a picture says
    "faust-streaming": "0.15.2",  # a rebalance breaks without opentracing
    "eventsourcing": "9.5.6",  # a connection that is lost no longer leaves a subscription waiting (issues 305, 306)
    "aiokafka": "0.14.0",  # a coordinator that is stuck (its issues 1134 and 1151)
}
PRODUCT = ("schemas", "ingest", "processors", "projections", "api", "infra")
PYTRITON = "0.7.0"  # carries Triton 2.51, for which the engines are written
_WAITING = re.compile(r"ListenNotify|PostgresSubscription|ApplicationSubscription|ProjectionRunner|\.subscribe\(")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", re.MULTILINE)


def pins(*names: str) -> dict[str, str]:
    """What the files pin, by package."""
    return {
        package.lower(): pinned
        for name in names
        for package, pinned in _PIN.findall((ROOT / "requirements" / f"{name}.txt").read_text())
    }


@pytest.mark.parametrize("package", LEAST)
def test_what_is_installed_is_new_enough(package: str) -> None:
    assert Version(version(package)) >= Version(LEAST[package])


@pytest.mark.parametrize("package", LEAST)
def test_what_is_pinned_is_new_enough(package: str) -> None:
    assert Version(pins("runtime", "local")[package]) >= Version(LEAST[package])


@pytest.mark.parametrize("package", LEAST)
def test_no_set_up_could_choose_an_older_one(package: str) -> None:
    """The bound stands in the input of the pins too, so that pinning anew cannot go below it; aside from its patch."""
    wanted = (ROOT / "requirements" / "runtime.in").read_text()
    bound = re.search(rf"^{re.escape(package)}(?:\[[^\]]*\])?(>=([0-9.]+))?$", wanted, re.MULTILINE)
    assert bound is not None, f"{package} is no direct requirement"
    assert bound[2] is not None, f"{package} has no least version"
    assert Version(bound[2]).release[:2] >= Version(LEAST[package]).release[:2]


def test_triton_is_the_one_that_was_chosen() -> None:
    """Pinned exactly: cancelling in flight crashes this one, so nothing does (tests/ports/test_triton_servers.py)."""
    assert pins("triton")["nvidia-pytriton"] == PYTRITON


def test_nothing_waits_for_what_the_event_store_would_tell() -> None:
    """Its subscriptions wait without a limit for a NOTIFY, which may be lost: positions are read from Kafka instead."""
    sources = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 200
    assert [path for path in sources if _WAITING.search(path.read_text(encoding="utf-8"))] == []
