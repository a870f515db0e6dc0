"""A short sweep of failpoints on one stack: processes die and fail around durable steps, and every promise holds.

All of them: `python -m tests.chaos.failpoint_sweep`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.failpoint_steps import Visit
from tests.chaos.failpoint_sweep import swept, table

SHORT = (
    Visit("gateway.append.after", "kill"),
    Visit("gateway.put-object.after", "kill"),
    Visit("gateway.append-many.before", "raise"),
    Visit("processor.produce.after", "kill"),
    Visit("processor.end.after", "kill"),
    Visit("processor.fence.after", "kill"),
    Visit("processor.transaction.before", "raise"),
    Visit("dispatcher.put-result.after", "kill"),
    Visit("dispatcher.outcome.before", "kill"),
    Visit("dispatcher.lease.before", "raise"),
    Visit("projector.transaction.inside", "kill"),
    Visit("projector.archive.inside", "kill"),
    Visit("erase.tombstones.before", "kill"),
    Visit("sweep.remove.after", "raise"),
    Visit("rebuild.switch.inside", "kill"),
)


@pytest.mark.chaos
async def test_processes_that_die_around_durable_steps_lose_nothing_and_charge_once(tmp_path: Path) -> None:
    sweep = await swept(tmp_path, SHORT, seed=1)
    print(f"\n{table(sweep)}")
    assert sweep.wrong == []
    assert {strike.visit for strike in sweep.strikes} == set(SHORT)
