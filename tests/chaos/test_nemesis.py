"""Every fault at least once on the running stack under load, in a melee: nothing lost, nothing twice, nothing stuck.

The short form of ``make chaos``, of the same parts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults.processes import COMPONENTS
from tests.chaos.faults.registry import every_fault
from tests.chaos.runner import Asked, run
from tests.chaos.table import groups, text

AT_ONCE = 6
COMMANDS_A_SECOND = 10.0


@pytest.mark.chaos
async def test_every_fault_strikes_and_nothing_is_lost_charged_twice_or_stuck(tmp_path: Path) -> None:
    faults = every_fault()
    asked = Asked(seed=1, strikes=len(faults), commands_a_second=COMMANDS_A_SECOND, at_once=AT_ONCE, each_once=True)
    result = await run(asked, faults, tmp_path, print)
    print("\n" + text(result))
    met = {strike.fault for strike in result.strikes if strike.counts}
    assert met == {fault.name for fault in faults}
    assert all(result.counts[f"kill {component}"] > 0 for component in COMPONENTS)
    assert all(count > 0 for name, count in groups(result.counts).items() if name in ("kills", "zombies"))
    assert sum(result.rebalances.values()) > 0
    assert result.verdict.acknowledged > 0
    assert result.verdict.decided_again > 0
    assert result.verdict.holds, "\n".join(result.verdict.lines())
