"""A client's own log against the log: a true story passes, and every lie is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.cli.audit_told import Answer, LogFacts, confront, wrong
from infra.errors import OperatorError
from processors.audit_spill import Spill
from schemas import events as ev
from schemas.refusals import InsufficientCredits, JobUnknown
from tests.unit.cli.test_read_model_fold import ACCOUNT, accepted, registered, succeeded

STORY: tuple[ev.AnyEvent, ...] = (
    accepted("job_a"),
    ev.AttemptReleased("job_a", 1, 1, 1),
    ev.JobStarted("job_a", 1, "dispatcher-0", 1),
    succeeded("job_a", "asset_a", 1),
    registered("asset_b", 2),
    ev.CommandRefused("submit-job", InsufficientCredits(3, 1), "job_r"),
    accepted("job_c"),
    ev.JobCanceled("job_c", 7, None),
    ev.CommandDuplicate("cmd_2", "0.0.0.0", "job_a", None, "job_d"),
    ev.CommandDuplicate("cmd_3", "0.4.0.0", "asset_b", None, "asset_d"),
    ev.CommandDuplicate("cmd_4", "0.0.0.0", "job_e", None, "job_d"),
    ev.CommandRefused("cancel-job", JobUnknown("job_r"), "job_r"),
)
"""One event a command: its place in the story is its offset."""

BODY: dict[str, Any] = {"id": "job_a", "status": "accepted", "cost": 3, "balance": 7, "position": "0.0.0.0"}
ENDED: dict[str, Any] = {**BODY, "status": "succeeded", "position": "0.3.0.0", "result": {"asset": "asset_a"}}
REPEAT: dict[str, Any] = {"id": "job_d", "status": "pending", "cost": None, "balance": None}
PENDING: dict[str, Any] = {"id": "job_r", "status": "pending", "cost": None, "balance": None}


@pytest.fixture
def facts() -> Iterator[LogFacts]:
    with Spill(hot_max=3) as spill:
        made = LogFacts(spill)
        for number, data in enumerate(STORY):
            made.add(ev.Event(f"0.{number}.0.0", ACCOUNT, "darkroom", number + 1, number, "c", "user", data, last=True))
        yield made


def submit(status: int, body: dict[str, Any], position: str = "0.0.0.0") -> Answer:
    return Answer("submit", status, "ada", "key", body, position)


def read(status: str, after: str | None) -> Answer:
    return Answer("read", 200, "ada", "", {**BODY, "status": status}, None, "job_a", after)


TRUE = [
    submit(202, BODY),
    submit(202, {**BODY, "position": "0.1.0.0"}),  # it was tried, and waits to be tried again
    submit(200, ENDED, "0.3.0.0"),
    submit(402, {}, "0.5.0.0"),
    submit(202, PENDING, "0.5.0.0"),
    submit(202, REPEAT, "0.8.0.0"),
    Answer("upload", 201, "ada", "other", {"id": "asset_b"}),
    Answer("upload", 202, "ada", "other", {"id": "asset_d"}, "0.9.0.0"),
    Answer("upload", 202, "ada", "more", {"id": "asset_r"}, "0.5.0.0"),
    Answer("cancel", 200, "ada", "x", {}, None, "job_c"),
    Answer("cancel", 202, "ada", "x", {"id": "job_r", "status": "pending"}, "0.11.0.0", "job_r"),
    Answer("cancel", 409, "ada", "y", {}, None, "job_a"),
    Answer("cancel", 404, "ada", "z", {}, None, "job_z"),
    read("accepted", "0.0.0.0"),
    read("running", "0.1.0.0"),
    read("queued", None),
    Answer("read", 404, "ada", "", {}, None, "job_z", "0.0.0.0"),
]
LIES = [
    submit(202, {**BODY, "id": "job_b"}),
    submit(202, {**BODY, "cost": 2}),
    submit(202, {**BODY, "balance": 8}),
    submit(202, {**BODY, "position": "1.0.0.0"}),
    submit(202, {**BODY, "position": "nowhere"}),
    submit(202, {**BODY, "id": "job_c", "position": "0.5.0.0"}),
    submit(200, {**ENDED, "status": "failed"}),
    submit(200, {**ENDED, "result": {"asset": "asset_c"}}),
    submit(402, {}, "0.0.0.0"),
    submit(202, PENDING, "0.4.0.0"),
    submit(202, REPEAT, "0.4.0.0"),
    submit(202, REPEAT, "0.10.0.0"),
    submit(202, {**REPEAT, "status": "accepted"}, "0.8.0.0"),
    Answer("upload", 201, "ada", "k", {"id": "asset_c"}),
    Answer("upload", 202, "ada", "k", {"id": "asset_d"}, "0.8.1.0"),
    Answer("upload", 201, "ada", "k", {"id": "asset_d"}, "0.9.0.0"),
    Answer("cancel", 200, "ada", "k", {}, None, "job_a"),
    Answer("cancel", 404, "ada", "k", {}, None, "job_a"),
    Answer("cancel", 202, "ada", "k", {"id": "job_r", "status": "pending"}, "0.4.0.0", "job_r"),
    Answer("cancel", 202, "ada", "k", {"id": "job_r", "status": "canceled"}, "0.11.0.0", "job_r"),
    read("accepted", "0.1.0.0"),
    read("failed", "0.0.0.0"),
    Answer("read", 404, "ada", "", {}, None, "job_a", "0.0.0.0"),
]


@pytest.mark.parametrize("told", TRUE, ids=range(len(TRUE)))
def test_a_true_answer_passes(told: Answer, facts: LogFacts) -> None:
    assert wrong(told, facts) is None


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_every_lie_is_found(lie: Answer, facts: LogFacts) -> None:
    assert wrong(lie, facts) is not None


def _file(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "told.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_key_makes_one_thing_and_what_says_nothing_is_not_judged(tmp_path: Path, facts: LogFacts) -> None:
    told = {"kind": "echo", "user": "ada", "key": "k", "status": 202, "seconds": 1.5}
    other = {"id": "job_c", "status": "accepted", "cost": 3, "balance": 7, "position": "0.6.0.0"}
    lines = [
        {**told, "body": BODY},
        {**told, "body": BODY, "kind": "duplicate"},
        {**told, "body": other},
        {**told, "body": other, "user": "bob"},
        {"kind": "echo", "status": 503},
        {"kind": "echo", "status": 422, "body": {}},
        {**told, "body": PENDING, "position": "0.5.0.0", "key": "late"},
        {"kind": "cancel", "status": 404, "about": "job_r", "body": {}},
        {**told, "body": REPEAT, "position": "0.8.0.0"},
        {"kind": "cancel", "status": 404, "about": "job_d", "body": {}},
        {**told, "body": REPEAT, "position": "0.8.0.0", "key": "late"},
    ]
    with Spill() as shelf:
        judged = confront(_file(tmp_path, *lines), facts, shelf)
    assert (judged.answers, judged.judged) == (11, 7)
    line, beside = judged.wrong
    assert "told-stands-on-the-log for echo late of ada: its key made job_r before" in beside
    assert line.startswith("what-was-told-stands-on-the-log for echo k of ada: its key made job_a before; told 202")


def test_a_line_that_is_no_answer_is_refused_in_one_sentence(tmp_path: Path, facts: LogFacts) -> None:
    with Spill() as shelf, pytest.raises(OperatorError, match=r"Line 2 of .* is no answer"):
        confront(_file(tmp_path, {"kind": "read", "status": 200}, {"kind": "read"}), facts, shelf)
