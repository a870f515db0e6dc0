"""Commands: what is asked of an account's decider. Imperative, versioned by the envelope's `schema`.

A command carries ids minted by its sender and no prices, no clock and no personal data in clear: prompts, metadata,
file names and subjects travel in `sealed` fields (design section 2, points 4, 6 and 24).
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.plans import Plan

ENVELOPE_SCHEMA = 1
COMMAND_BYTES_MAX = 64 << 10

Json = str | int | bool | None  # parameters are flat; integers only, so that every reader sees the same number


class ReplyAddress(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where an answer goes: a gateway's incarnation and the correlation id it chose."""

    gateway: str
    correlation: str


class IdempotencyKey(msgspec.Struct, frozen=True, gc=False):
    """A client's key, hashed with its operation, and the fingerprint of the content it came with (both hex)."""

    key: str
    fingerprint: str


class StoredObject(msgspec.Struct, frozen=True, gc=False):
    """Bytes in the object store: key, size in bytes, sha256 in hex, format, and size in pixels."""

    key: str
    bytes: int
    sha256: str
    format: str
    width: int
    height: int


class Command(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """Base of all commands; `type` on the wire is the tag."""


class PublishPlan(Command, frozen=True, tag="publish-plan"):
    """Put a plan in force in this partition; repeating it is harmless."""

    plan: Plan


class OpenAccount(Command, frozen=True, tag="open-account"):
    """Open the account with its product's terms, if it is not open."""


class GrantCredits(Command, frozen=True, tag="grant-credits"):
    """Add units (or take spendable ones back, when negative)."""

    amount: int
    reason: str


class RegisterAsset(Command, frozen=True, tag="register-asset"):
    """Make stored bytes an asset of the account; `sealed` holds the file name."""

    asset: str
    object: StoredObject
    sealed: str | None = None


class SubmitJob(Command, frozen=True, tag="submit-job"):
    """Run a model, on an asset of the account or on none; `params` are validated and hold nothing personal."""

    job: str
    model: str
    params: Mapping[str, Json]
    input: str | None = None
    sealed: str | None = None
    client_waits_until_ms: int | None = None


class CancelJob(Command, frozen=True, tag="cancel-job"):
    """End the job now and give its money back."""

    job: str


class AttemptStarted(Command, frozen=True, tag="attempt-started"):
    """A dispatcher has begun on the attempt."""

    job: str
    attempt: int
    dispatcher: str


class RenewLease(Command, frozen=True, tag="renew-lease"):
    """The attempt is alive."""

    job: str
    attempt: int


class Succeeded(msgspec.Struct, frozen=True, tag_field="kind", tag="succeeded"):
    """The model's result is stored; `model_ms` is the time the engine took."""

    result: StoredObject
    model_ms: int


class Failed(msgspec.Struct, frozen=True, tag_field="kind", tag="failed"):
    """The attempt gave no result. `cause` says whose failure it was; `reason` is a word, `detail` one sentence."""

    cause: Literal["permanent", "transient", "engine-unavailable"]
    reason: str
    detail: str


class RecordOutcome(Command, frozen=True, tag="record-outcome"):
    """How an attempt ended; the first one that fits the live attempt counts, every other is ignored by name."""

    job: str
    attempt: int
    outcome: Succeeded | Failed


class Tick(Command, frozen=True, tag="tick"):
    """Time has passed: handle what is due. Written by the owner to its own partition only."""


class ResumePartition(Command, frozen=True, tag="resume-partition"):
    """An operator lets a partition that stopped itself go on."""


AnyCommand = (
    PublishPlan
    | OpenAccount
    | GrantCredits
    | RegisterAsset
    | SubmitJob
    | CancelJob
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
