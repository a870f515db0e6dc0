"""Lives in which nobody dies: what a storm excuses is a fault there.

In a storm a lost lease or a late outcome proves nothing, because somebody may have been killed. Here every attempt has
to end by its own outcome.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from schemas import events as ev
from tests.simulation.life import Life
from tests.simulation.virtual import run_virtually

SEEDS = range(4)
ONLY: Mapping[str, Mapping[str, float]] = {
    "no fault": {},
    "engines slower than a lease": {"engine slower than a lease": 6.0},
    "engines that are away": {"engine away": 12.0},
}
_CLIENTS_OWN = {"request-invalid", "input-gone", "erased"}
"""What becomes of a job whose client names no picture, or deletes it, or everything."""


@pytest.mark.parametrize("faults", ONLY)
def test_where_nobody_dies_every_attempt_ends_by_its_own_outcome(faults: str) -> None:
    for seed in SEEDS:
        said = [event.data for event in lived(seed, ONLY[faults])]
        ignored = [data for data in said if isinstance(data, ev.CommandIgnored)]
        late = {data.subject for data in ignored if data.reason == "outcome-of-no-live-attempt"}
        out_of_time = {data.job for data in said if isinstance(data, ev.AttemptEnded) and data.reason == "run-deadline"}
        assert late <= out_of_time, "only the end of the run time may come before the outcome that tells it"
        failed = {data.reason for data in said if isinstance(data, ev.JobFailed)}
        assert failed <= _CLIENTS_OWN, "nothing else costs a job its attempts"
        assert any(isinstance(data, ev.JobSucceeded) for data in said)
        begun = {(data.job, data.attempt) for data in said if isinstance(data, ev.JobStarted)}
        ended = {(data.job, data.attempt) for data in said if isinstance(data, ev.JobSucceeded)}
        assert ended <= begun, "a start stands on the log before its end"
        lost = {
            (d.job, d.attempt) for d in said if isinstance(d, ev.AttemptEnded) and d.reason.startswith("lease-lost")
        }
        assert not begun & lost, "what is worked on keeps its lease"


def lived(seed: int, only: Mapping[str, float]) -> list[ev.Event]:
    """The events of a life, which is judged as every other one."""

    async def life() -> list[ev.Event]:
        one = Life(seed, only)
        await one.run()
        assert set(one.world.troubles.counts) >= set(only)
        return [event for events in one.watch.events for event in events]

    return run_virtually(life)
