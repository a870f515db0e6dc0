"""Events of jobs: from acceptance to the end, attempt by attempt. `schemas.events` names them all."""

from collections.abc import Mapping

from schemas.commands import EngineRun, Json, ReplyAddress, SealedPart, StoredObject
from schemas.event_base import EventData, IdempotencyUse


class GroupAccepted(EventData, frozen=True, tag="group-accepted"):
    """All of these jobs were accepted together; the events of each follow. `cost` is their sum, `balance` after all."""

    group: str
    jobs: tuple[str, ...]
    costs: tuple[int, ...]
    cost: int
    balance: int
    plan_version: int
    idempotency: IdempotencyUse | None


class JobAccepted(EventData, frozen=True, omit_defaults=True, tag="job-accepted"):
    """The job stands in its account's queue of `lane` at `queue_number`; its price is reserved by the next event.

    Its account may run `in_flight_jobs_max` at once in the lane and has `weight` turns in each round of the waiting.
    `reuse` is the key (hex) under which an identical job finds this one's result. `original_purged`: the input is
    deleted when the job ends.
    """

    job: str
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
    attempts_max: int
    run_deadline_ms: int
    in_flight_jobs_max: int
    queue_number: int
    queue_until_ms: int
    client_waits_until_ms: int | None
    balance: int
    reply: ReplyAddress | None
    idempotency: IdempotencyUse | None
    mask: str | None = None
    sealed_at: SealedPart | None = None
    group: str | None = None
    weight: int = 1
    reuse: str | None = None
    original_purged: bool = False


class JobReused(EventData, frozen=True, omit_defaults=True, tag="job-reused"):
    """The job is identical to the earlier job `of`: accepted and succeeded at once with that one's bytes, for nothing.

    Its result is asset number `number` of the account, a second reference to the same object.
    """

    job: str
    model: str
    engine: str
    engine_version: str
    lane: str
    params: Mapping[str, Json]
    input: str | None
    sealed: str | None
    plan: str
    plan_version: int
    of: str
    asset: str
    number: int
    result: StoredObject
    balance: int
    idempotency: IdempotencyUse | None
    mask: str | None = None
    sealed_at: SealedPart | None = None
    group: str | None = None
    thumbnail: StoredObject | None = None
    expires_ms: int | None = None


class AttemptReleased(EventData, frozen=True, omit_defaults=True, tag="attempt-released"):
    """The job left its account's queue for the lane; the attempt's lease and run time count from here.

    `quarantine`: it was there at two crashes of its engine and has to run alone.
    """

    job: str
    attempt: int
    lease_until_ms: int
    run_until_ms: int
    quarantine: bool = False


class JobStarted(EventData, frozen=True, omit_defaults=True, tag="job-started"):
    """A dispatcher began on the attempt, `ran_ms` before the event's time: it tells a start a moment later."""

    job: str
    attempt: int
    dispatcher: str
    lease_until_ms: int
    ran_ms: int = 0


class LeaseRenewed(EventData, frozen=True, tag="lease-renewed"):
    """The attempt showed that it lives."""

    job: str
    attempt: int
    lease_until_ms: int


class AttemptEnded(EventData, frozen=True, omit_defaults=True, tag="attempt-ended"):
    """The attempt gave no result and its slot is free; the job goes on at `retry_at_ms` (None: it had ended before).

    `counted` is False where it was no failure of the job (the engine was away or died, the lease ended before a start).
    """

    job: str
    attempt: int
    reason: str
    counted: bool
    retry_at_ms: int | None
    run: EngineRun | None = None


class JobRequeued(EventData, frozen=True, tag="job-requeued"):
    """The job stands in its account's queue again."""

    job: str
    queue_number: int


class JobSucceeded(EventData, frozen=True, omit_defaults=True, tag="job-succeeded"):
    """The attempt's result is the job's result and asset number `number` of the account; its slot is free.

    It is kept until `expires_ms` where the plan says so, and given to identical jobs until `reuse_until_ms`.
    """

    job: str
    attempt: int
    asset: str
    number: int
    result: StoredObject
    model_ms: int
    thumbnail: StoredObject | None = None
    run: EngineRun | None = None
    expires_ms: int | None = None
    reuse_until_ms: int | None = None


class JobFailed(EventData, frozen=True, omit_defaults=True, tag="job-failed"):
    """The job ended without a result; `reason` is a word, `detail` one sentence.

    `attempt` is the one whose end this was (its slot is free), None where none held a slot.
    """

    job: str
    attempt: int | None
    reason: str
    detail: str
    run: EngineRun | None = None


class JobCanceled(EventData, frozen=True, tag="job-canceled"):
    """The client ended the job; a slot that an attempt holds stays taken until that attempt ends.

    `balance` is what can be spent once the next event has given the reservation back.
    """

    job: str
    balance: int
    idempotency: IdempotencyUse | None


class JobHidden(EventData, frozen=True, tag="job-hidden"):
    """The job no longer stands in its account's histories; it had ended, or the events before this one ended it.

    `canceled` says that they did, `balance` is what can be spent. A job may be hidden more than once.
    """

    job: str
    canceled: bool
    balance: int
    idempotency: IdempotencyUse | None


class JobExpired(EventData, frozen=True, tag="job-expired"):
    """The job waited longer than its plan lets it."""

    job: str
