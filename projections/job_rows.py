"""Row changes of the read model `jobs`. See `projections.rows` for what a change is."""

from collections.abc import Iterable, Mapping
from typing import Any

from projections.row_base import Row
from schemas.commands import EngineRun, Json, SealedPart, StoredObject


class NewJob(Row, frozen=True, kw_only=True):
    """A job that was accepted in this batch, as it stands after it. `outcome` is its status once it has ended."""

    account: str
    job: str
    version: int
    product: str
    model: str
    engine: str
    engine_version: str
    lane: str
    params: Mapping[str, Json]
    input: str | None
    sealed: str | None
    cost: int
    plan: str
    plan_version: int
    accepted_ms: int
    accepted_at: str
    status: str
    balance: int
    position: str
    charged: int = 0
    attempts: int = 0
    queued_ms: int | None = None
    running_ms: int | None = None
    ended_ms: int | None = None
    asset: str | None = None
    result: StoredObject | None = None
    reason: str | None = None
    detail: str | None = None
    mask: str | None = None
    sealed_at: SealedPart | None = None
    group_id: str | None = None
    reused_of: str | None = None
    outcome: str | None = None
    run: EngineRun | None = None
    model_ms: int | None = None
    asset_number: int | None = None
    thumbnail: StoredObject | None = None
    refunded: int = 0
    refunded_ms: int | None = None
    hidden_ms: int | None = None


class JobChange(Row, frozen=True, omit_defaults=True, kw_only=True):
    """New values of a job accepted earlier; None leaves the column."""

    account: str
    job: str
    position: str
    status: str | None = None
    charged: int | None = None
    balance: int | None = None
    attempts: int | None = None
    queued_ms: int | None = None
    running_ms: int | None = None
    ended_ms: int | None = None
    asset: str | None = None
    result: StoredObject | None = None
    reason: str | None = None
    detail: str | None = None
    outcome: str | None = None
    run: EngineRun | None = None
    model_ms: int | None = None
    asset_number: int | None = None
    thumbnail: StoredObject | None = None
    refunded: int | None = None
    refunded_ms: int | None = None
    hidden_ms: int | None = None


class JobHide(Row, frozen=True, kw_only=True):
    """A job was hidden, and in this batch nothing else; the decider cannot tell an ended job from one that never was.

    So there may be no row to change.
    """

    account: str
    job: str
    position: str
    hidden_ms: int


_ONLY_HIDDEN = {"account", "job", "position", "hidden_ms"}


def rows_of_jobs(jobs: Iterable[Mapping[str, Any]]) -> tuple[list[NewJob], list[JobChange], list[JobHide]]:
    """The rows of each job's columns in a batch; those of one that began in it are whole."""
    new: list[NewJob] = []
    changed: list[JobChange] = []
    hidden: list[JobHide] = []
    for columns in jobs:
        if "accepted_ms" in columns:
            new.append(NewJob(**columns))
        elif columns.keys() == _ONLY_HIDDEN:
            hidden.append(JobHide(**columns))
        else:
            changed.append(JobChange(**columns))
    return new, changed, hidden


class ResultGone(Row, frozen=True, kw_only=True):
    """Access to an asset ended: the job whose result it is, if it is one, says so."""

    account: str
    asset: str
    reason: str


class ResultsErased(Row, frozen=True, kw_only=True):
    """Every result up to asset number `through` of the account is gone."""

    account: str
    through: int


class JobCount(Row, frozen=True, kw_only=True):
    """The job came to this status on the day that began at `day_ms`: its times become one count of the statistics."""

    account: str
    job: str
    day_ms: int
    status: str


class JobEvents(Row, frozen=True, kw_only=True):
    """Events of a job in order, one JSON text a line, as they stand on the topic; `version` is the first one's."""

    account: str
    job: str
    version: int
    events: bytes


class NewGroup(Row, frozen=True, kw_only=True):
    """Jobs that were accepted together."""

    account: str
    group_id: str
    version: int
    jobs: int
    cost: int
    balance: int
    plan_version: int
    accepted_ms: int
    position: str


class NotMade(Row, frozen=True, kw_only=True):
    """A command that made nothing under the id it came with: refused (`refusal`, JSON), or a repeat of `made`."""

    account: str
    subject: str
    version: int
    command: str
    refusal: str | None
    made: str | None
    time_ms: int
    position: str
