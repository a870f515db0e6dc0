"""Events of jobs: from acceptance to the end, attempt by attempt. `schemas.events` names them all."""

from collections.abc import Mapping

from schemas.commands import Json, ReplyAddress, StoredObject
from schemas.event_base import EventData, IdempotencyUse


class JobAccepted(EventData, frozen=True, tag="job-accepted"):
    """The job stands in its account's queue of `lane` at `queue_number`; its price is reserved by the next event."""

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


class AttemptReleased(EventData, frozen=True, tag="attempt-released"):
    """The job left its account's queue for the lane; the attempt's lease and run time count from here."""

    job: str
    attempt: int
    lease_until_ms: int
    run_until_ms: int


class JobStarted(EventData, frozen=True, tag="job-started"):
    """A dispatcher began on the attempt."""

    job: str
    attempt: int
    dispatcher: str
    lease_until_ms: int


class LeaseRenewed(EventData, frozen=True, tag="lease-renewed"):
    """The attempt showed that it lives."""

    job: str
    attempt: int
    lease_until_ms: int


class AttemptEnded(EventData, frozen=True, tag="attempt-ended"):
    """The attempt gave no result and its slot is free; the job goes on at `retry_at_ms` (None: it had ended before).

    `counted` is False where it was no failure of the job (the engine was away, the lease ended before a start).
    """

    job: str
    attempt: int
    reason: str
    counted: bool
    retry_at_ms: int | None


class JobRequeued(EventData, frozen=True, tag="job-requeued"):
    """The job stands in its account's queue again."""

    job: str
    queue_number: int


class JobSucceeded(EventData, frozen=True, tag="job-succeeded"):
    """The attempt's result is the job's result and asset number `number` of the account; its slot is free."""

    job: str
    attempt: int
    asset: str
    number: int
    result: StoredObject
    model_ms: int


class JobFailed(EventData, frozen=True, tag="job-failed"):
    """The job ended without a result; `reason` is a word, `detail` one sentence.

    `attempt` is the one whose end this was (its slot is free), None where none held a slot.
    """

    job: str
    attempt: int | None
    reason: str
    detail: str


class JobCanceled(EventData, frozen=True, tag="job-canceled"):
    """The client ended the job; a slot that an attempt holds stays taken until that attempt ends.

    `balance` is what can be spent once the next event has given the reservation back.
    """

    job: str
    balance: int
    idempotency: IdempotencyUse | None


class JobExpired(EventData, frozen=True, tag="job-expired"):
    """The job waited longer than its plan lets it."""

    job: str
