"""A short storm of more than a stack can do, and a processor that hangs: told and not lost. Times are not judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.hung import hung
from tests.chaos.overload import overload, storm_stack

TIMES, SECONDS = 10.0, 8.0
HUNG_SUBMITS_A_SECOND = 20.0


@pytest.mark.chaos
async def test_who_is_turned_away_is_told_when_to_come_again_and_who_is_let_in_is_not_lost(tmp_path: Path) -> None:
    stack = storm_stack(tmp_path)
    stack.start()
    try:
        report = await overload(stack, SECONDS, TIMES)
        print("\n" + report.text())
        assert report.lost == 0
        assert set(report.statuses) <= {200, 202, 429, 503}
        assert report.statuses.keys() & {429, 503}
        assert all(answer.retry_after_s for answer in report.answers if answer.status in (429, 503))
        of_one = await hung(stack, HUNG_SUBMITS_A_SECOND)
        print(of_one.text())
        assert of_one.of_hung
        assert of_one.of_others
        assert {answer.status for answer in of_one.of_others} <= {202, 503}
        assert stack.audit()["violations"] == []
        stack.stop()
    finally:
        stack.kill()
