"""Events: what was decided, in the past tense. The meaning of an existing type never changes; a change is a new type.

On the topic an event is one record: CloudEvents 1.0 binary mode, the attributes in headers, `data` with its frame as
the value. Integers only, keys in the order of the fields here. Its id is its position, unique within the deployment.
"""

import msgspec

from schemas.commands import ReplyAddress, StoredObject
from schemas.event_base import EVENT_SCHEMA as EVENT_SCHEMA
from schemas.event_base import EventData as EventData
from schemas.event_base import IdempotencyUse as IdempotencyUse
from schemas.event_base import WindowUse as WindowUse
from schemas.job_events import AttemptEnded as AttemptEnded
from schemas.job_events import AttemptReleased as AttemptReleased
from schemas.job_events import JobAccepted as JobAccepted
from schemas.job_events import JobCanceled as JobCanceled
from schemas.job_events import JobExpired as JobExpired
from schemas.job_events import JobFailed as JobFailed
from schemas.job_events import JobRequeued as JobRequeued
from schemas.job_events import JobStarted as JobStarted
from schemas.job_events import JobSucceeded as JobSucceeded
from schemas.job_events import LeaseRenewed as LeaseRenewed
from schemas.plans import Plan
from schemas.positions import Position
from schemas.refusals import AnyRefusal


class PlanPublished(EventData, frozen=True, tag="plan-published"):
    """A plan came into force in this partition; the whole content stands here."""

    plan: Plan


class AccountOpened(EventData, frozen=True, tag="account-opened"):
    """First use, under the named plan; `subject` is sealed. The clock of regeneration starts here."""

    plan: str
    plan_version: int
    subject: str | None


class CreditsGranted(EventData, frozen=True, tag="credits-granted"):
    """Units added (taken back when negative)."""

    amount: int
    reason: str
    balance: int
    idempotency: IdempotencyUse | None


class CreditsRegenerated(EventData, frozen=True, tag="credits-regenerated"):
    """Units that time gave; the clock of regeneration now stands at `since_ms`."""

    amount: int
    since_ms: int
    balance: int


class AssetRegistered(EventData, frozen=True, tag="asset-registered"):
    """Stored bytes became asset number `number` of the account."""

    asset: str
    number: int
    object: StoredObject
    sealed: str | None
    idempotency: IdempotencyUse | None


class CreditsReserved(EventData, frozen=True, tag="credits-reserved"):
    """A job's price left the balance and its windows."""

    job: str
    units: int
    windows: tuple[WindowUse, ...]
    plan_version: int
    balance: int


class CreditsCaptured(EventData, frozen=True, tag="credits-captured"):
    """The reservation became a charge."""

    job: str
    units: int
    plan_version: int
    balance: int


class CreditsReleased(EventData, frozen=True, tag="credits-released"):
    """The reservation ended without a charge; its units are back where they came from."""

    job: str
    units: int
    windows: tuple[WindowUse, ...]
    reason: str
    balance: int


class IdempotencyForgotten(EventData, frozen=True, tag="idempotency-forgotten"):
    """The lives of these keys are over."""

    keys: tuple[str, ...]


class CommandRefused(EventData, frozen=True, tag="command-refused"):
    """The command was not carried out, for a named reason."""

    command: str
    refusal: AnyRefusal


class CommandDuplicate(EventData, frozen=True, tag="command-duplicate"):
    """The command repeated an earlier one, whose decision stands at `of`; `made` is what that one made."""

    command: str
    of: str
    made: str
    reply: ReplyAddress | None


class CommandIgnored(EventData, frozen=True, tag="command-ignored"):
    """The command changed nothing, for a named reason (a late outcome, a tick with nothing due)."""

    command: str
    reason: str
    subject: str | None = None


class CommandUnreadable(EventData, frozen=True, tag="command-unreadable"):
    """The item could not be read; it stands in `dead-letters`."""

    reason: str
    bytes: int


class CommandQuarantined(EventData, frozen=True, tag="command-quarantined"):
    """Deciding the command failed in three takeovers; it stands in `dead-letters`."""

    command: str
    account: str
    takeovers: int


class PartitionResumed(EventData, frozen=True, tag="partition-resumed"):
    """An operator let the partition go on after it had stopped itself."""


AnyEvent = (
    PlanPublished
    | AccountOpened
    | CreditsGranted
    | CreditsRegenerated
    | AssetRegistered
    | JobAccepted
    | CreditsReserved
    | AttemptReleased
    | JobStarted
    | LeaseRenewed
    | AttemptEnded
    | JobRequeued
    | JobSucceeded
    | CreditsCaptured
    | JobFailed
    | JobCanceled
    | JobExpired
    | CreditsReleased
    | IdempotencyForgotten
    | CommandRefused
    | CommandDuplicate
    | CommandIgnored
    | CommandUnreadable
    | CommandQuarantined
    | PartitionResumed
)


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event in its frame: the value of a record of `events`.

    `account` is an account id or a partition's own stream, `version` its gapless number there (from 1), `time_ms` the
    partition's time, `command` the id of the command that caused it. `last` marks the last event of its command: a
    reader that stops only after such an event never shows half a decision.
    """

    position: str
    account: str
    product: str
    version: int
    time_ms: int
    command: str
    actor: str
    data: AnyEvent
    trace: str | None = None
    last: bool = False
    schema: int = EVENT_SCHEMA

    @property
    def at(self) -> Position:
        """The position as a record."""
        return Position(*map(int, self.position.split(".")))


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """The record's value; equal events give equal bytes."""
    return _encoder.encode(event)


def decode_event(value: bytes) -> Event:
    """The event in a record's value; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(value)


def event_type(data: EventData | type[EventData]) -> str:
    """The word that names the event's type, as on the wire."""
    return str(data.__struct_config__.tag)


def cloud_event_type(data: EventData | type[EventData]) -> str:
    """The CloudEvents `type` attribute."""
    return f"darkroom.{event_type(data)}.v{EVENT_SCHEMA}"
