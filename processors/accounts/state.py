"""State records of accounts and partitions, and the keys they stand under in the topic `accounts`.

A key is `<stream>|<kind>|<id>`, where the stream is an account id or the partition's own. Records are small, frozen
and replaced whole; no command reads or writes more of them than it names (design section 2, point 11).
"""

from typing import Final

import msgspec

from schemas.events import LotUse, WindowUse
from schemas.plans import Plan
from schemas.replies import AnyAnswer


class LaneUse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An account's share of a lane: `running` slots taken of `limit`, and its queue of `queued` jobs.

    The queue's jobs stand under numbers in [head, tail). `ring` is the account's place in the partition's round of
    waiting accounts, -1 when it has none; it has `weight` turns there, of which it took `turn`.
    """

    lane: str
    limit: int
    running: int = 0
    queued: int = 0
    head: int = 0
    tail: int = 0
    ring: int = -1
    weight: int = 1
    turn: int = 0


class Lot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Spendable units of one grant that expire, or that are spent before (priority < 0) or after the plain ones.

    `lot` is the position of the grant. A lot that expires stays, empty too, until its time is over, because units that
    come back return to it.
    """

    lot: str
    units: int
    expires_ms: int | None
    priority: int


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The header of an account: its ledger's totals, its windows, its lanes and its version.

    granted + regenerated + refunded = captured + reserved + expired + available, at every event. What is available and
    in no lot is plain. Assets up to number `erased_through` ended with the last of `erasures`.
    """

    product: str
    plan: str
    opened_ms: int
    version: int
    granted: int = 0
    regenerated: int = 0
    refunded: int = 0
    captured: int = 0
    reserved: int = 0
    expired: int = 0
    regenerating_since_ms: int = 0
    windows: tuple[WindowUse, ...] = ()
    lanes: tuple[LaneUse, ...] = ()
    assets: int = 0
    lots: tuple[Lot, ...] = ()
    albums: int = 0
    erasures: int = 0
    erased_through: int = 0

    @property
    def available(self) -> int:
        """What can be spent now, in units."""
        return self.granted + self.regenerated + self.refunded - self.captured - self.reserved - self.expired

    @property
    def due_ms(self) -> int:
        """When a tick has to look at the account (its next lot expires), 0 for never."""
        return min((lot.expires_ms for lot in self.lots if lot.expires_ms is not None), default=0) if self.lots else 0

    def lane(self, lane: str) -> LaneUse | None:
        """The account's share of the lane, None when it never used it."""
        for use in self.lanes:
            if use.lane == lane:
                return use
        return None


class Reservation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A job's price, out of the balance and its windows until the job ends; stands under the job's id."""

    units: int
    windows: tuple[WindowUse, ...]
    plan_version: int
    lots: tuple[LotUse, ...] = ()


class Idempotency(msgspec.Struct, frozen=True, gc=False):
    """What a key decided: enough to give the same answer again."""

    fingerprint: str
    of: str
    made: str
    answer: AnyAnswer
    expires_ms: int


class LaneShare(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A partition's part of a lane: `released` attempts, and the round of `waiting` accounts in [head, tail)."""

    lane: str
    released: int = 0
    waiting: int = 0
    head: int = 0
    tail: int = 0


class Partition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The header of a partition's own stream."""

    version: int = 0
    plan_version: int = 0
    lanes: tuple[LaneShare, ...] = ()

    def lane(self, lane: str) -> LaneShare:
        """The partition's part of the lane; an empty one when it was never used."""
        for share in self.lanes:
            if share.lane == lane:
                return share
        return LaneShare(lane)


class PlanRecord(msgspec.Struct, frozen=True, gc=False):
    """A plan as published, under its version."""

    plan: Plan


class RingEntry(msgspec.Struct, frozen=True, gc=False):
    """One place in the round of accounts that wait for a lane."""

    account: str


class Queued(msgspec.Struct, frozen=True, gc=False):
    """One place in an account's queue."""

    job: str


class Progress(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The reserved record `position`: the last command applied, which alone decides where an owner goes on.

    `count` is the number of items in the record at `offset`, `time_ms` the partition's time, `commands` the number of
    commands decided so far. `troubles` are the numbers of the last unreadable or quarantined ones; `stopped` is True
    while too many of them hold the partition.
    """

    offset: int = -1
    index: int = 0
    count: int = 1
    time_ms: int = 0
    commands: int = 0
    troubles: tuple[int, ...] = ()
    stopped: bool = False

    def next(self) -> tuple[int, int]:
        """(offset, index) of the next command."""
        return (self.offset, self.index + 1) if self.index + 1 < self.count else (self.offset + 1, 0)


class Suspect(msgspec.Struct, frozen=True, gc=False):
    """The reserved record `suspect`: deciding the command at this place has failed in `takeovers` takeovers."""

    offset: int
    index: int
    takeovers: int


SEPARATOR: Final = "|"


def account_key(account: str) -> str:
    return account + "|account|"


def reservation_key(account: str, job: str) -> str:
    return f"{account}|reservation|{job}"


def idempotency_key(account: str, key: str) -> str:
    return f"{account}|idempotency|{key}"


def queued_key(account: str, lane: str, number: int) -> str:
    return f"{account}|queued|{lane}.{number}"


def partition_key(stream: str) -> str:
    return stream + "|partition|"


def plan_key(stream: str, version: int) -> str:
    return f"{stream}|plan|{version}"


def ring_key(stream: str, lane: str, number: int) -> str:
    return f"{stream}|ring|{lane}.{number}"


def position_key(stream: str) -> str:
    return stream + "|position|"


def suspect_key(stream: str) -> str:
    return stream + "|suspect|"


def split_key(key: str) -> tuple[str, str, str]:
    """(stream, kind, id) of a key."""
    stream, kind, name = key.split(SEPARATOR, 2)
    return stream, kind, name
