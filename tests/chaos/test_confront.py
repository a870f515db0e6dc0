"""The judge itself: planted lies are found, and a true story passes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.chaos.confront import Journal, confront, unfinished
from tests.chaos.workload import Told
from tests.client import Client


class _User:
    subject = "ada"


USER = cast(Client, _User())


def event(position: str, kind: str, **content: Any) -> dict[str, Any]:
    return {"id": position, "subject": "acct_a", "data": {"data": {"type": kind, **content}}}


STORY = [
    event("0.1.0.0", "job-accepted", job="job_a", cost=1, balance=9),
    event("0.1.0.2", "attempt-released", job="job_a"),
    event("0.2.0.0", "job-succeeded", job="job_a", asset="asset_a"),
    event("0.2.0.1", "credits-captured", job="job_a", units=1),
    event("0.3.0.0", "asset-registered", asset="asset_b"),
    event("0.4.0.0", "command-refused", refusal={"reason": "insufficient-credits"}),
]
ACCEPTED = {"id": "job_a", "status": "accepted", "cost": 1, "balance": 9, "position": "0.1.0.0", "result": None}
SUCCEEDED = {**ACCEPTED, "status": "succeeded", "position": "0.2.0.0", "result": {"asset": "asset_a"}}


def told(kind: str, status: int, body: dict[str, Any], position: str = "0.1.0.0", about: str | None = None) -> Told:
    return Told(kind, USER, "key", status, body, position, about)


TRUE = [
    told("echo", 202, ACCEPTED),
    told("duplicate", 200, SUCCEEDED),
    told("upload", 201, {"id": "asset_b"}),
    told("cancel", 409, {}, about="job_a"),
    told("echo", 402, {}, "0.4.0.0"),
]
LIES = [
    told("echo", 202, {**ACCEPTED, "id": "job_b"}),
    told("echo", 202, {**ACCEPTED, "cost": 2}),
    told("echo", 202, {**ACCEPTED, "balance": 8}),
    told("echo", 202, {**ACCEPTED, "position": "0.2.0.0"}),
    told("echo", 200, {**SUCCEEDED, "status": "failed"}),
    told("echo", 200, {**SUCCEEDED, "result": {"asset": "asset_c"}}),
    told("echo", 422, {}),
    told("upload", 201, {"id": "asset_c"}),
    told("cancel", 200, {}, about="job_a"),
    told("cancel", 404, {}, about="job_a"),
    told("echo", 402, {}, "0.1.0.0"),
]


def test_a_true_story_passes() -> None:
    journal = Journal.of(STORY)
    uploads = [Told("upload", USER, "other", 201, {"id": "asset_b"}, None)]
    assert confront([t for t in TRUE if t.kind != "upload"] + uploads, journal) == []
    assert unfinished(journal) == []


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_every_lie_is_found(lie: Told) -> None:
    assert len(confront([lie], Journal.of(STORY))) == 1


def test_a_late_refusal_is_no_lie_and_neither_is_its_404() -> None:
    pending = {**ACCEPTED, "id": "job_c", "status": "pending", "cost": None, "balance": None}
    late = told("echo", 202, pending, "0.4.0.0")
    assert confront([late, told("cancel", 404, {}, about="job_c")], Journal.of(STORY)) == []
    assert len(confront([told("echo", 202, pending, "0.3.0.0")], Journal.of(STORY))) == 1


def test_a_repeat_that_was_answered_before_it_was_known_as_one_stands_for_the_first_job() -> None:
    repeated = [event("0.7.0.0", "command-duplicate", of="0.1.0.0", made="job_a", subject="job_d")]
    pending = {**ACCEPTED, "id": "job_d", "status": "pending", "cost": None, "balance": None}
    repeat, canceled = told("duplicate", 202, pending, "0.7.0.0"), told("cancel", 404, {}, about="job_d")
    assert confront([TRUE[0], repeat, canceled], Journal.of(STORY + repeated)) == []
    elsewhere = [event("0.7.0.0", "command-duplicate", of="0.1.0.0", made="job_e", subject="job_d")]
    assert len(confront([TRUE[0], repeat], Journal.of(STORY + elsewhere))) == 2
    assert len(confront([TRUE[0], repeat], Journal.of(STORY))) == 2


def test_a_repeated_upload_that_was_answered_early_stands_for_the_first_one() -> None:
    repeated = [event("0.7.0.0", "command-duplicate", of="0.3.0.0", made="asset_b", subject="asset_c")]
    first, repeat = told("upload", 201, {"id": "asset_b"}), told("upload", 202, {"id": "asset_c"}, "0.7.0.0")
    assert confront([first, repeat], Journal.of(STORY + repeated)) == []
    assert len(confront([first, repeat], Journal.of(STORY))) == 2
    decided = told("upload", 201, {"id": "asset_c"}, "0.7.0.0")
    assert len(confront([decided], Journal.of(STORY + repeated))) == 1


def test_a_key_that_made_two_jobs_is_found() -> None:
    second = [event("0.5.0.0", "job-accepted", job="job_b", cost=1, balance=9)]
    other = told("duplicate", 202, {**ACCEPTED, "id": "job_b", "position": "0.5.0.0"})
    assert confront([TRUE[0], other], Journal.of(STORY + second)) == ["key key of ada made ['job_a', 'job_b']"]


@pytest.mark.parametrize(
    "change",
    [
        STORY[:1],
        STORY[:3],
        [*STORY, event("0.6.0.0", "credits-captured", job="job_a", units=1)],
        [*STORY, event("0.6.0.0", "job-canceled", job="job_a")],
        [*STORY, STORY[0]],
        [*STORY, event("0.6.0.0", "attempt-released", job="job_a")],
    ],
    ids=["never ended", "not charged", "charged twice", "ended twice", "accepted twice", "slot not given back"],
)
def test_jobs_that_do_not_add_up_are_found(change: list[dict[str, Any]]) -> None:
    assert len(unfinished(Journal.of(change))) >= 1
