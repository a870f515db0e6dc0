"""Why a command is not carried out: a closed set of named values (design section 2, point 3).

A refusal is an answer, not a fault: it becomes a `command-refused` event and, in each contract, an error of its shape.
"""

import msgspec


class Refusal(msgspec.Struct, frozen=True, tag_field="reason", gc=False):
    """Base of the closed set; `reason` on the wire is the tag."""


class InsufficientCredits(Refusal, frozen=True, tag="insufficient-credits"):
    """The spendable balance is below the price."""

    required: int
    available: int


class QuotaExceeded(Refusal, frozen=True, tag="quota-exceeded"):
    """A window of the plan is used up until `resets_ms`."""

    window: str
    limit: int
    used: int
    resets_ms: int


class QueueFull(Refusal, frozen=True, tag="queue-full"):
    """The account already has as many waiting jobs as its plan allows."""

    limit: int


class IdempotencyMismatch(Refusal, frozen=True, tag="idempotency-mismatch"):
    """The key was used with other content; `job` (or asset) is what it made then."""

    made: str


class ModelUnknown(Refusal, frozen=True, tag="model-unknown"):
    """The plan in force has no such model."""

    model: str


class AssetUnknown(Refusal, frozen=True, tag="asset-unknown"):
    """The account has no live asset of this id."""

    asset: str


class InputRequired(Refusal, frozen=True, tag="input-required"):
    """The model works on a picture and none was named."""

    model: str


class MaskRequired(Refusal, frozen=True, tag="mask-required"):
    """The model needs a mask beside the picture and none was named."""

    model: str


class NotEntitled(Refusal, frozen=True, tag="not-entitled"):
    """The account's plan does not include this model, or this value of this parameter (at most `limit`)."""

    what: str
    limit: int | None


class AlbumUnknown(Refusal, frozen=True, tag="album-unknown"):
    """The account has no live album of this id."""

    album: str


class AlbumsFull(Refusal, frozen=True, tag="albums-full"):
    """The account already has as many albums as its plan allows."""

    limit: int


class PlanUnknown(Refusal, frozen=True, tag="plan-unknown"):
    """The account's product has no plan of this name."""

    plan: str


class JobUnknown(Refusal, frozen=True, tag="job-unknown"):
    """The account has no live job of this id (it may have ended: the read model knows)."""

    job: str


class JobEnded(Refusal, frozen=True, tag="job-ended"):
    """The job has ended and cannot be canceled."""

    job: str
    status: str


class GrantBelowZero(Refusal, frozen=True, tag="grant-below-zero"):
    """A negative grant may take no more than what is spendable."""

    amount: int
    available: int


class GrantExpired(Refusal, frozen=True, tag="grant-expired"):
    """A grant that expires has to expire in the future, and has to add units."""

    expires_ms: int


class GrantsFull(Refusal, frozen=True, tag="grants-full"):
    """The account holds as many lots of expiring or prioritised units as are possible at once."""

    limit: int


class ChargeUnknown(Refusal, frozen=True, tag="charge-unknown"):
    """No charge of this job is remembered: it has not succeeded, or its result is too old; a grant can make up."""

    job: str


class NothingCharged(Refusal, frozen=True, tag="nothing-charged"):
    """The job cost nothing."""

    job: str


class AlreadyRefunded(Refusal, frozen=True, tag="already-refunded"):
    """The job's charge was given back before."""

    job: str


class GrantTooLarge(Refusal, frozen=True, tag="grant-too-large"):
    """A balance stays within what every JSON reader holds exactly (2^53 - 1)."""

    amount: int
    balance_max: int


class PlanVersionReused(Refusal, frozen=True, tag="plan-version-reused"):
    """A plan of this version with other content is in force; raise the version."""

    version: int


class PlanMissing(Refusal, frozen=True, tag="plan-missing"):
    """No plan with terms for this product has been published to this partition."""

    product: str


AnyRefusal = (
    InsufficientCredits
    | QuotaExceeded
    | QueueFull
    | IdempotencyMismatch
    | ModelUnknown
    | AssetUnknown
    | InputRequired
    | MaskRequired
    | NotEntitled
    | AlbumUnknown
    | AlbumsFull
    | PlanUnknown
    | JobUnknown
    | JobEnded
    | ChargeUnknown
    | NothingCharged
    | AlreadyRefunded
    | GrantBelowZero
    | GrantExpired
    | GrantsFull
    | GrantTooLarge
    | PlanVersionReused
    | PlanMissing
)
