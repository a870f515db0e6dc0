"""Replies: what the decider tells the gateway that waits (design section 2, point 21). Kept an hour, never a record.

Records of `replies` are keyed by gateway incarnation; a value is a JSON array of replies.
"""

import msgspec

from schemas.commands import EngineRun, StoredObject
from schemas.event_base import WindowUse
from schemas.refusals import AnyRefusal


class Answer(msgspec.Struct, frozen=True, tag_field="kind", gc=False):
    """Base of what a reply says."""


class JobDecided(Answer, frozen=True, omit_defaults=True, tag="job-decided"):
    """The job was accepted at `decided_ms` (now, or earlier under the same key; 0 where that is not known).

    `position` in the reply is where it was decided. `windows` is what the account's windows have used after it; empty
    where its plan has none. `plan` and `plan_version` are what it was decided by. All three are left out for a repeat.
    """

    job: str
    status: str
    cost: int
    balance: int
    decided_ms: int = 0
    windows: tuple[WindowUse, ...] = ()
    plan: str = ""
    plan_version: int = 0


class GroupDecided(Answer, frozen=True, omit_defaults=True, tag="group-decided"):
    """Every job of the group was accepted at `decided_ms`; `costs` in the order of `jobs`, `balance` after them all."""

    group: str
    jobs: tuple[str, ...]
    costs: tuple[int, ...]
    balance: int
    decided_ms: int = 0


class JobEndedAnswer(Answer, frozen=True, omit_defaults=True, tag="job-ended"):
    """The job ended at `ended_ms`; exactly one of `result` and `reason` is there for succeeded and failed.

    `number` is the result's in its account. `reused_of` names the earlier job whose result this is; of such a one
    there is no `model_ms`. When a job was accepted stands in the read model: a live job's record does not hold it.
    """

    job: str
    status: str
    charged: int
    balance: int
    asset: str | None = None
    result: StoredObject | None = None
    reason: str | None = None
    detail: str | None = None
    thumbnail: StoredObject | None = None
    run: EngineRun | None = None
    number: int = 0
    model_ms: int | None = None
    ended_ms: int = 0
    reused_of: str | None = None


class JobCancelAccepted(Answer, frozen=True, omit_defaults=True, tag="job-cancel-accepted"):
    """The job was canceled at `decided_ms` and its reservation is released."""

    job: str
    balance: int
    decided_ms: int = 0


class JobHiddenAnswer(Answer, frozen=True, tag="job-hidden"):
    """The job is hidden; `canceled`: it had not ended before, and its reservation is released."""

    job: str
    canceled: bool
    balance: int


class AssetAccepted(Answer, frozen=True, omit_defaults=True, tag="asset-accepted"):
    """The asset is usable at once; it was made at `created_ms`."""

    asset: str
    number: int
    object: StoredObject
    created_ms: int = 0


class AssetDeletion(Answer, frozen=True, tag="asset-deletion"):
    """Access to the asset has ended; `canceled` are the jobs that were ended with it."""

    asset: str
    canceled: tuple[str, ...]
    balance: int


class AlbumAccepted(Answer, frozen=True, tag="album-accepted"):
    """The album is usable at once."""

    album: str


class AssetsMovedAnswer(Answer, frozen=True, tag="assets-moved"):
    """What became of each asset that was to be moved."""

    album: str
    moved: tuple[str, ...]
    already: tuple[str, ...]
    unknown: tuple[str, ...]


class BalanceChanged(Answer, frozen=True, tag="balance-changed"):
    """A grant or a refund was booked, a plan changed, or an account opened."""

    balance: int


class Done(Answer, frozen=True, tag="done"):
    """The command was carried out and has nothing to tell."""


class Refused(Answer, frozen=True, tag="refused"):
    """The command was refused."""

    refusal: AnyRefusal


class Broken(Answer, frozen=True, tag="broken"):
    """The command could not be read or decided; it stands in `dead-letters`, nothing was charged."""

    reason: str


AnyAnswer = (
    JobDecided
    | GroupDecided
    | JobEndedAnswer
    | JobCancelAccepted
    | JobHiddenAnswer
    | AssetAccepted
    | AssetDeletion
    | AlbumAccepted
    | AssetsMovedAnswer
    | BalanceChanged
    | Done
    | Refused
    | Broken
)


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer for the waiter `correlation`; `position` is the source of the decision it speaks of."""

    correlation: str
    account: str
    position: str
    answer: AnyAnswer


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Reply])


def encode_replies(replies: list[Reply]) -> bytes:
    """The value of a `replies` record."""
    return _encoder.encode(replies)


def decode_replies(value: bytes) -> list[Reply]:
    """The replies in a record's value; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(value)
