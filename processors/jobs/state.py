r"""State of a live job: one frozen record per phase, so that fields which make no sense do not exist.

    Waiting ---- attempt-released ---> Released --- job-started ---> Running
       ^  \                              |  |                        |  |
       |   `- canceled, expired: gone    |  `--- attempt-ended ------'  `-- succeeded, failed: gone
    requeued                             |            |
       |                                 `- canceled -+--> Ending -- attempt-ended: gone
    Backoff <---- attempt-ended (retry) --------------'

A job that has ended and holds no slot has no record: its history is in `events` and the read model.
"""

from collections.abc import Mapping

import msgspec

from schemas.commands import Json, ReplyAddress, SealedPart

REPLY_ADDRESSES_MAX = 8
CRASHES_BEFORE_QUARANTINE = 2


class Waiting(msgspec.Struct, frozen=True, tag_field="phase", tag="waiting", gc=False):
    """In its account's queue under `number`."""

    number: int


class Backoff(msgspec.Struct, frozen=True, tag_field="phase", tag="backoff", gc=False):
    """Between two attempts."""

    retry_at_ms: int


class Released(msgspec.Struct, frozen=True, tag_field="phase", tag="released", gc=False):
    """The attempt stands in the lane; nobody has begun on it yet."""

    lease_until_ms: int
    run_until_ms: int


class Running(msgspec.Struct, frozen=True, tag_field="phase", tag="running", gc=False):
    """A dispatcher works on the attempt."""

    lease_until_ms: int
    run_until_ms: int


class Ending(msgspec.Struct, frozen=True, tag_field="phase", tag="ending", gc=False):
    """Canceled; the attempt still holds the slot, so that nobody gets work for nothing by canceling."""

    lease_until_ms: int
    run_until_ms: int


Phase = Waiting | Backoff | Released | Running | Ending
Attempted = Running | Released | Ending


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A live job. `attempt` is the number of the last one released, `failures` those that count against it.

    `crashes` counts the deaths of engines that it was in; `erasures` is the account's count at its acceptance.
    """

    phase: Phase
    model: str
    engine: str
    engine_version: str
    lane: str
    params: Mapping[str, Json]
    input: str | None
    sealed: str | None
    cost: int
    plan_version: int
    attempts_max: int
    run_deadline_ms: int
    queue_until_ms: int
    client_waits_until_ms: int | None
    attempt: int = 0
    failures: int = 0
    unavailable_since_ms: int | None = None
    replies: tuple[ReplyAddress, ...] = ()
    trace: str | None = None
    mask: str | None = None
    sealed_at: SealedPart | None = None
    reuse: str | None = None
    original_purged: bool = False
    crashes: int = 0
    erasures: int = 0

    @property
    def is_suspect(self) -> bool:
        """True when its next attempt has to run alone."""
        return self.crashes >= CRASHES_BEFORE_QUARANTINE

    @property
    def due_ms(self) -> int:
        """When a tick has to look at the job."""
        phase = self.phase
        if isinstance(phase, Waiting):
            return self.queue_until_ms
        if isinstance(phase, Backoff):
            return min(phase.retry_at_ms, self.queue_until_ms)
        return min(phase.lease_until_ms, phase.run_until_ms)

    @property
    def status(self) -> str:
        """The word of design section 4 for where the job is."""
        match self.phase:
            case Waiting() | Backoff():
                return "accepted"
            case Released():
                return "queued"
            case Running():
                return "running"
            case Ending():
                return "canceled"


def job_key(account: str, job: str) -> str:
    """The key of a job's record in the topic `accounts`."""
    return f"{account}|job|{job}"
