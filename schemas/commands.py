"""Commands: what is asked of an account's decider. Imperative, versioned by the envelope's `schema`.

A command carries ids minted by its sender and no prices, no clock and no personal data in clear: prompts, metadata,
file names and subjects travel in `sealed` fields (design section 2, points 4, 6 and 24).
"""

import msgspec

from schemas.asset_commands import CreateAlbum as CreateAlbum
from schemas.asset_commands import DeleteAlbum as DeleteAlbum
from schemas.asset_commands import DeleteAsset as DeleteAsset
from schemas.asset_commands import EraseAccount as EraseAccount
from schemas.asset_commands import MoveAssets as MoveAssets
from schemas.asset_commands import RecordPurge as RecordPurge
from schemas.asset_commands import RecordViews as RecordViews
from schemas.asset_commands import RegisterAsset as RegisterAsset
from schemas.asset_commands import SetVisibility as SetVisibility
from schemas.command_base import Command as Command
from schemas.command_base import EngineRun as EngineRun
from schemas.command_base import IdempotencyKey as IdempotencyKey
from schemas.command_base import Json as Json
from schemas.command_base import PassedOver as PassedOver
from schemas.command_base import ReplyAddress as ReplyAddress
from schemas.command_base import SealedPart as SealedPart
from schemas.command_base import StoredObject as StoredObject
from schemas.job_commands import GROUPED_JOB_BYTES_MAX as GROUPED_JOB_BYTES_MAX
from schemas.job_commands import JOBS_A_GROUP_MAX as JOBS_A_GROUP_MAX
from schemas.job_commands import AttemptStarted as AttemptStarted
from schemas.job_commands import CancelJob as CancelJob
from schemas.job_commands import Failed as Failed
from schemas.job_commands import GroupedJob as GroupedJob
from schemas.job_commands import HideJob as HideJob
from schemas.job_commands import RecordOutcome as RecordOutcome
from schemas.job_commands import RefundJob as RefundJob
from schemas.job_commands import RenewLease as RenewLease
from schemas.job_commands import SubmitGroup as SubmitGroup
from schemas.job_commands import SubmitJob as SubmitJob
from schemas.job_commands import Succeeded as Succeeded
from schemas.plans import Plan

ENVELOPE_SCHEMA = 1
COMMAND_BYTES_MAX = 64 << 10
GROUP_COMMAND_BYTES_MAX = 480 << 10  # alone in its record, which ingest packs up to 512 KiB


class PublishPlan(Command, frozen=True, tag="publish-plan"):
    """Put a plan in force in this partition; repeating it is harmless."""

    plan: Plan


class OpenAccount(Command, frozen=True, tag="open-account"):
    """Open the account with its product's terms, if it is not open."""


class SetPlan(Command, frozen=True, tag="set-plan"):
    """Put the account under another plan of its product (operators)."""

    plan: str


class GrantCredits(Command, frozen=True, omit_defaults=True, tag="grant-credits"):
    """Add units (or take spendable ones back, when negative).

    Units that expire or have a `priority` are a lot of their own: lower priorities are spent first, then what expires
    first. Plain units have priority 0 and do not expire.
    """

    amount: int
    reason: str
    expires_ms: int | None = None
    priority: int = 0


class Tick(Command, frozen=True, tag="tick"):
    """Time has passed: handle what is due. Written by the owner to its own partition only."""


class ResumePartition(Command, frozen=True, tag="resume-partition"):
    """An operator lets a partition that stopped itself go on."""


AnyCommand = (
    PublishPlan
    | OpenAccount
    | SetPlan
    | GrantCredits
    | RegisterAsset
    | DeleteAsset
    | SetVisibility
    | CreateAlbum
    | DeleteAlbum
    | MoveAssets
    | RecordViews
    | RecordPurge
    | EraseAccount
    | SubmitJob
    | SubmitGroup
    | RefundJob
    | CancelJob
    | HideJob
    | AttemptStarted
    | RenewLease
    | RecordOutcome
    | Tick
    | ResumePartition
)


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One command on the log.

    `account` is an account id, or a partition's own stream for plans and ticks; `product` names the product in clear;
    `plan` is the plan's name in the caller's token; `subject` is sealed; `trace` is a W3C traceparent;
    `sent_ms` is the sender's clock, metadata only.
    """

    id: str
    account: str
    product: str
    command: AnyCommand
    sent_ms: int
    actor: str = "user"
    plan: str = "default"
    subject: str | None = None
    reply: ReplyAddress | None = None
    idempotency: IdempotencyKey | None = None
    trace: str | None = None
    schema: int = ENVELOPE_SCHEMA


class _Addressed(msgspec.Struct, frozen=True):
    account: str = ""
    reply: ReplyAddress | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Envelope)
_addressed = msgspec.json.Decoder(_Addressed)


class CommandUnreadable(ValueError):
    """An item on the log that is no envelope this release can read; the message is one word of why."""


def encode_command(envelope: Envelope) -> bytes:
    """The item that stands on the log."""
    return _encoder.encode(envelope)


def decode_command(item: bytes) -> Envelope:
    """The envelope in `item`; raises CommandUnreadable for anything else, also for a newer schema."""
    try:
        envelope = _decoder.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandUnreadable("not-an-envelope") from error
    if envelope.schema > ENVELOPE_SCHEMA:
        raise CommandUnreadable("newer-schema")
    return envelope


def reply_address(item: bytes) -> tuple[str, ReplyAddress | None]:
    """(account, address) of an item that is no readable envelope, as far as that much can be read of it."""
    try:
        addressed = _addressed.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", None
    return addressed.account, addressed.reply
