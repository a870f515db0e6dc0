"""Every fault that the nemesis can draw."""

from __future__ import annotations

from tests.chaos.faults.fault import Fault


def every_fault() -> tuple[Fault, ...]:
    """One of each, with detours that faults of the same server share. For one arena."""
    return ()
