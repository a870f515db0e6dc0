"""Slots of lanes (design section 2, points 16 and 17): never too many, and none idle while somebody waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.accounts.state import Partition
from schemas.commands import Envelope, RecordOutcome
from tests.properties.scripts import ACCOUNTS, SECOND, Player, Step, plan_of

_STEPS = st.builds(
    Step,
    st.sampled_from(("resubmit", "resubmit", "resubmit", "started", "succeed", "fail", "stumble", "away", "tick")),
    st.integers(0, len(ACCOUNTS) - 1),
    st.integers(0, 5),
    st.sampled_from((0, 1, SECOND)),
)


@given(st.lists(_STEPS, min_size=10, max_size=60))
def test_a_lane_takes_what_it_may_and_lets_nobody_wait_for_a_free_slot(script: list[Step]) -> None:
    player, limits = Player(), plan_of(1).lane_released_jobs_max
    player.check_each = False
    for step in script:
        player.now_ms += step.pause_ms
        command = player.command(step)
        player.decide([command])
        is_outcome = isinstance(command, Envelope) and isinstance(command.command, RecordOutcome)
        partition = player.state()["partition-0|partition|"]
        assert isinstance(partition, Partition)
        for share in partition.lanes:
            assert share.released <= limits[share.lane]
            assert not (is_outcome and share.waiting and share.released < limits[share.lane])
