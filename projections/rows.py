"""Row changes: what a fold makes of a batch of events. Frozen, encodable, free of I/O.

A row is either whole (`NewJob`: the row begins) or a change of one that is there (`JobChange`: None leaves a column as
it is; `AccountChange`: amounts are added). Changes are made so that folding a batch at once, or in any pieces one
after the other, leaves the same rows. Field names are column names of `infra/postgres/migrations`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from schemas.commands import Json, StoredObject
from schemas.events import Event
from schemas.plans import Plan


class RawRecord(Protocol):
    """A record as a consumer hands it out."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Logged(msgspec.Struct, frozen=True, gc=False):
    """An event as read: partition and offset in the topic `events`, and the record's value as it stood there."""

    partition: int
    offset: int
    event: Event
    value: bytes


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all row changes."""


class NewJob(Row, frozen=True, kw_only=True):
    """A job that was accepted in this batch, as it stands after it."""

    account: str
    job: str
    version: int
    product: str
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
    accepted_ms: int
    accepted_at: str
    status: str
    balance: int
    position: str
    charged: int = 0
    attempts: int = 0
    queued_ms: int | None = None
    running_ms: int | None = None
    ended_ms: int | None = None
    asset: str | None = None
    result: StoredObject | None = None
    reason: str | None = None
    detail: str | None = None


class JobChange(Row, frozen=True, omit_defaults=True, kw_only=True):
    """New values of a job accepted earlier; None leaves the column."""

    account: str
    job: str
    position: str
    status: str | None = None
    charged: int | None = None
    balance: int | None = None
    attempts: int | None = None
    queued_ms: int | None = None
    running_ms: int | None = None
    ended_ms: int | None = None
    asset: str | None = None
    result: StoredObject | None = None
    reason: str | None = None
    detail: str | None = None


class JobEvents(Row, frozen=True, kw_only=True):
    """Events of a job in order, one JSON text a line, as they stand on the topic; `version` is the first one's."""

    account: str
    job: str
    version: int
    events: bytes


class AccountChange(Row, frozen=True, kw_only=True):
    """Amounts to add to an account's totals; sums up `seen` events, from `first_version` to `version`."""

    account: str
    first_version: int
    version: int
    seen: int
    position: str
    product: str | None = None
    plan: str | None = None
    opened_ms: int | None = None
    since_ms: int | None = None
    granted: int = 0
    regenerated: int = 0
    refunded: int = 0
    captured: int = 0
    reserved: int = 0
    expired: int = 0


class WindowChange(Row, frozen=True, kw_only=True):
    """Units to add to the window of `kind` that began at `start_ms`; a newer window replaces an older one."""

    account: str
    kind: str
    start_ms: int
    used: int


class LedgerLine(Row, frozen=True, kw_only=True):
    """One booking; `balance` is what could be spent after it."""

    account: str
    version: int
    kind: str
    amount: int
    balance: int
    time_ms: int
    position: str
    job: str | None = None
    plan_version: int | None = None
    reason: str | None = None


class NewAsset(Row, frozen=True, kw_only=True):
    """An upload (`job` None) or a result."""

    account: str
    asset: str
    number: int
    key: str
    bytes: int
    sha256: str
    format: str
    width: int
    height: int
    created_ms: int
    position: str
    sealed: str | None = None
    job: str | None = None


class PartitionChange(Row, frozen=True, kw_only=True):
    """What a partition's own stream said; `plan` None leaves the one in force."""

    partition: int
    first_version: int
    version: int
    seen: int
    plan_version: int | None = None
    plan: Plan | None = None


class DataKey(Row, frozen=True, kw_only=True):
    """A wrapped data key (base64) of an account; None: it was erased."""

    account: str
    key_id: str
    wrapped: str | None = None


Rows = Mapping[type[Row], Sequence[Row]]
"""Row changes by kind; kinds without rows are left out."""


def rows_of(*groups: Sequence[Row]) -> Rows:
    """The groups that are not empty, each under the type of its rows."""
    return {type(group[0]): group for group in groups if group}
