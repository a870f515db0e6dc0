"""Events: what was decided, in the past tense. The meaning of an existing type never changes; a change is a new type.

On the topic an event is one record: CloudEvents 1.0 binary mode, the attributes in headers, `data` with its frame as
the value. Integers only, keys in the order of the fields here. Its id is its position, unique within the deployment.
"""

from collections.abc import Callable

import msgspec

from schemas.asset_events import AccountErased as AccountErased
from schemas.asset_events import AlbumCreated as AlbumCreated
from schemas.asset_events import AlbumDeleted as AlbumDeleted
from schemas.asset_events import AssetDeleted as AssetDeleted
from schemas.asset_events import AssetRegistered as AssetRegistered
from schemas.asset_events import AssetsMoved as AssetsMoved
from schemas.asset_events import AssetsViewed as AssetsViewed
from schemas.asset_events import BytesPurged as BytesPurged
from schemas.asset_events import PurgeReleased as PurgeReleased
from schemas.asset_events import VisibilityChanged as VisibilityChanged
from schemas.commands import ReplyAddress
from schemas.event_base import EVENT_SCHEMA as EVENT_SCHEMA
from schemas.event_base import EventData as EventData
from schemas.event_base import IdempotencyUse as IdempotencyUse
from schemas.event_base import LotUse as LotUse
from schemas.event_base import WindowUse as WindowUse
from schemas.job_events import AttemptEnded as AttemptEnded
from schemas.job_events import AttemptReleased as AttemptReleased
from schemas.job_events import GroupAccepted as GroupAccepted
from schemas.job_events import JobAccepted as JobAccepted
from schemas.job_events import JobCanceled as JobCanceled
from schemas.job_events import JobExpired as JobExpired
from schemas.job_events import JobFailed as JobFailed
from schemas.job_events import JobHidden as JobHidden
from schemas.job_events import JobRequeued as JobRequeued
from schemas.job_events import JobReused as JobReused
from schemas.job_events import JobStarted as JobStarted
from schemas.job_events import JobSucceeded as JobSucceeded
from schemas.job_events import LeaseRenewed as LeaseRenewed
from schemas.money_events import CreditsCaptured as CreditsCaptured
from schemas.money_events import CreditsExpired as CreditsExpired
from schemas.money_events import CreditsGranted as CreditsGranted
from schemas.money_events import CreditsRefunded as CreditsRefunded
from schemas.money_events import CreditsRegenerated as CreditsRegenerated
from schemas.money_events import CreditsReleased as CreditsReleased
from schemas.money_events import CreditsReserved as CreditsReserved
from schemas.money_events import ThresholdReached as ThresholdReached
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


class PlanChanged(EventData, frozen=True, tag="plan-changed"):
    """An operator put the account under another plan of its product."""

    plan: str
    plan_version: int
    balance: int
    idempotency: IdempotencyUse | None


class IdempotencyForgotten(EventData, frozen=True, tag="idempotency-forgotten"):
    """The lives of these keys are over."""

    keys: tuple[str, ...]


class CommandRefused(EventData, frozen=True, omit_defaults=True, tag="command-refused"):
    """The command was not carried out, for a named reason; `subject` is what it would have made."""

    command: str
    refusal: AnyRefusal
    subject: str | None = None


class CommandDuplicate(EventData, frozen=True, omit_defaults=True, tag="command-duplicate"):
    """The command repeated an earlier one, whose decision stands at `of`; `made` is what that one made.

    `subject` is what this one would have made.
    """

    command: str
    of: str
    made: str
    reply: ReplyAddress | None
    subject: str | None = None


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
    | PlanChanged
    | AccountErased
    | CreditsGranted
    | CreditsRegenerated
    | CreditsExpired
    | AssetRegistered
    | AssetDeleted
    | VisibilityChanged
    | AssetsViewed
    | AlbumCreated
    | AlbumDeleted
    | AssetsMoved
    | PurgeReleased
    | BytesPurged
    | GroupAccepted
    | JobAccepted
    | JobReused
    | CreditsReserved
    | ThresholdReached
    | AttemptReleased
    | JobStarted
    | LeaseRenewed
    | AttemptEnded
    | JobRequeued
    | JobSucceeded
    | CreditsCaptured
    | CreditsRefunded
    | JobFailed
    | JobCanceled
    | JobExpired
    | JobHidden
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


encode_event: Callable[[Event], bytes] = _encoder.encode
"""The record's value; equal events give equal bytes."""


def decode_event(value: bytes) -> Event:
    """The event in a record's value; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(value)


def event_type(data: EventData | type[EventData]) -> str:
    """The word that names the event's type, as on the wire."""
    return str(data.__struct_config__.tag)


def cloud_event_type(data: EventData | type[EventData]) -> str:
    """The CloudEvents `type` attribute."""
    return f"darkroom.{event_type(data)}.v{EVENT_SCHEMA}"
