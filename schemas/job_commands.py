"""Commands about jobs: submit one or a group, cancel, hide, refund, and what dispatchers report."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.command_base import Command, EngineRun, Json, SealedPart, StoredObject

JOBS_A_GROUP_MAX = 1_000
GROUPED_JOB_BYTES_MAX = 400  # of one job in the command of a large group, whose sealed parts stand elsewhere


class SubmitJob(Command, frozen=True, omit_defaults=True, tag="submit-job"):
    """Run a model, on an asset of the account or on none; `params` are validated and hold nothing personal.

    `content` is a keyed hash of the personal parts that change the result (prompts): with the rest of the request it
    tells identical jobs. `bulk` marks an item of a batch, which goes by the lane `batch`.
    """

    job: str
    model: str
    params: Mapping[str, Json]
    input: str | None = None
    sealed: str | None = None
    client_waits_until_ms: int | None = None
    mask: str | None = None
    content: str | None = None
    bulk: bool = False


class GroupedJob(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One job of a group; its sealed part stands here or, for large groups, in the object store."""

    job: str
    model: str
    params: Mapping[str, Json]
    input: str | None = None
    mask: str | None = None
    sealed: str | None = None
    sealed_at: SealedPart | None = None
    content: str | None = None


class SubmitGroup(Command, frozen=True, omit_defaults=True, tag="submit-group"):
    """Run all of these jobs or none: reserved together, then each captured or released by itself."""

    group: str
    jobs: tuple[GroupedJob, ...]
    client_waits_until_ms: int | None = None
    bulk: bool = False


class CancelJob(Command, frozen=True, tag="cancel-job"):
    """End the job now and give its money back."""

    job: str


class HideJob(Command, frozen=True, tag="hide-job"):
    """Take the job out of its account's histories; one that has not ended is canceled first.

    What it was charged, and every statistic, stays. The sender has seen that the job is the account's.
    """

    job: str


class RefundJob(Command, frozen=True, tag="refund-job"):
    """Give a succeeded job's charge back (operators), as long as its result is remembered."""

    job: str
    reason: str


class AttemptStarted(Command, frozen=True, omit_defaults=True, tag="attempt-started"):
    """A dispatcher has begun on the attempt, `ran_ms` before it says so."""

    job: str
    attempt: int
    dispatcher: str
    ran_ms: int = 0


class RenewLease(Command, frozen=True, tag="renew-lease"):
    """The attempt is alive."""

    job: str
    attempt: int


class Succeeded(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="succeeded"):
    """The model's result is stored, of a video a still picture too; `model_ms` is the time the engine took."""

    result: StoredObject
    model_ms: int
    thumbnail: StoredObject | None = None
    run: EngineRun | None = None


class Failed(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="failed"):
    """The attempt gave no result. `cause` says whose failure it was; `reason` is a word, `detail` one sentence.

    `engine-crashed`: the engine died with this attempt in it, perhaps with others; suspicion, but no attempt lost.
    """

    cause: Literal["permanent", "transient", "engine-unavailable", "engine-crashed"]
    reason: str
    detail: str
    run: EngineRun | None = None


class RecordOutcome(Command, frozen=True, tag="record-outcome"):
    """How an attempt ended; the first one that fits the live attempt counts, every other is ignored by name."""

    job: str
    attempt: int
    outcome: Succeeded | Failed
