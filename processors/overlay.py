"""State in the making: a reader's state with changes laid over it. Pure: it writes only itself."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from processors.accounts.state import (
    Account,
    Asset,
    Idempotency,
    Partition,
    PlanRecord,
    Progress,
    Queued,
    Reservation,
    RingEntry,
    Suspect,
    account_key,
    partition_key,
)
from processors.jobs.state import Job

Record = (
    Account | Reservation | Idempotency | Asset | Queued | Job | Partition | PlanRecord | RingEntry | Progress | Suspect
)
Read = Callable[[str], Record | None]
Changes = dict[str, Record | None]
R = TypeVar("R", bound=msgspec.Struct)


def typed(record: Record | None, kind: type[R]) -> R | None:
    """The record as its kind; a record of another kind under a key is a bug."""
    if record is None:
        return None
    assert isinstance(record, kind), f"{type(record).__name__} stands where {kind.__name__} belongs"
    return record


class Overlay:
    """`changes` over what `read` gives; a change to None says that the record ends."""

    __slots__ = ("_read", "changes")

    def __init__(self, read: Read) -> None:
        self._read = read
        self.changes: Changes = {}

    def get(self, key: str) -> Record | None:
        """The record under `key` as of the last change."""
        changes = self.changes
        return changes[key] if key in changes else self._read(key)

    def account(self, account: str) -> Account | None:
        """The account's header, None when it is not open."""
        key = account_key(account)
        record = self.changes.get(key) or self._read(key)  # a header never ends
        assert record is None or isinstance(record, Account)
        return record

    def header(self, account: str) -> Account:
        """The header of an account that is open; anything about one that is not is a bug."""
        key = account_key(account)
        record = self.changes.get(key) or self._read(key)
        assert isinstance(record, Account), f"{account} is not open"
        return record

    def partition(self, stream: str) -> Partition:
        """The header of a partition's own stream."""
        key = partition_key(stream)
        record = self.changes.get(key) or self._read(key)
        if record is None:
            return Partition()
        assert isinstance(record, Partition)
        return record
