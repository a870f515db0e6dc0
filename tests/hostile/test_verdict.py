"""After all that: nothing has died, memory stayed under its caps, no answer was late, and the audit is clean.

Stands last by its name. Media processes may be killed by design, one picture each; how many were is told.
"""

from __future__ import annotations

import time

from tests.hostile.watch import Watch
from tests.stack import Stack

_SETTLED_LIMIT_S = 120.0


def test_nothing_has_died(stack: Stack, watch: Watch) -> None:
    stack.wait_healthy()
    assert watch.processes() == watch.before
    killed = len(watch.media_before - watch.media_processes())
    Watch.told.append(f"{killed} media processes of {len(watch.media_before)} were killed, as they may be")
    assert killed <= len(watch.media_before)


def test_memory_stayed_under_its_caps(watch: Watch) -> None:
    peaks = {name: watch.peak_bytes[name] for name in ("gateway", "dispatcher")}
    assert all(0 < peak < watch.caps_bytes[name] for name, peak in peaks.items()), peaks


def test_no_answer_was_late(watch: Watch) -> None:
    assert watch.late == []


def test_the_gateway_logged_no_fault_of_its_own(stack: Stack) -> None:
    log = (stack.data / "logs" / "gateway-0.log").read_text(errors="replace")
    faults = [line[:2_000] for line in log.splitlines() if '"request-failed"' in line or line.startswith("Traceback")]
    assert faults == []


def test_the_audit_is_clean(stack: Stack) -> None:
    """As soon as what was begun has ended: every law of the ledger over everything that hostile clients caused."""
    deadline = time.monotonic() + _SETTLED_LIMIT_S
    while True:
        told = stack.audit()
        if told["clean"] or time.monotonic() > deadline:
            break
        time.sleep(2.0)
    assert told["clean"], told
