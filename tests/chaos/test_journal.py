"""Jobs that do not add up are found, and a true story passes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.journal import Journal, unfinished


def event(position: str, kind: str, **content: Any) -> dict[str, Any]:
    return {"id": position, "subject": "acct_a", "data": {"data": {"type": kind, **content}}}


STORY = [
    event("0.1.0.0", "job-accepted", job="job_a"),
    event("0.1.0.1", "attempt-released", job="job_a"),
    event("0.2.0.0", "attempt-ended", job="job_a", reason="lease-lost"),
    event("0.3.0.0", "attempt-released", job="job_a"),
    event("0.4.0.0", "job-succeeded", job="job_a"),
    event("0.4.0.1", "credits-captured", job="job_a", units=1),
]


def test_a_true_story_passes() -> None:
    journal = Journal.of(STORY)
    assert unfinished(journal) == []
    assert journal.attempts_ended == {"lease-lost": 1}


@pytest.mark.parametrize(
    "change",
    [
        STORY[:1],
        STORY[:5],
        [*STORY, event("0.6.0.0", "credits-captured", job="job_a", units=1)],
        [*STORY, event("0.6.0.0", "job-canceled", job="job_a")],
        [*STORY, STORY[0]],
        [*STORY, event("0.6.0.0", "attempt-released", job="job_a")],
    ],
    ids=["never ended", "not charged", "charged twice", "ended twice", "accepted twice", "slot not given back"],
)
def test_jobs_that_do_not_add_up_are_found(change: list[dict[str, Any]]) -> None:
    assert len(unfinished(Journal.of(change))) >= 1
