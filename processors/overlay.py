"""State in the making: a reader's state with changes laid over it. Pure: it writes only itself."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from processors.accounts.state import (
    Account,
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
from processors.assets.state import Album, Asset, Purge, Reuse, Shared
from processors.jobs.state import Job

Record = (
    Account
    | Reservation
    | Idempotency
    | Asset
    | Album
    | Shared
    | Reuse
    | Purge
    | Queued
    | Job
    | Partition
    | PlanRecord
    | RingEntry
    | Progress
    | Suspect
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
    """`changes` over what `read` gives of one partition; a change to None says that the record ends.

    The partition's header and the last account's are at hand: nearly every step of a decision asks for them.
    """

    __slots__ = ("_account", "_header", "_header_key", "_partition", "_read", "changes")

    def __init__(self, read: Read) -> None:
        self._read = read
        self._account = self._header_key = ""
        self._header: Account | None = None
        self._partition: Partition | None = None
        self.changes: Changes = {}

    def get(self, key: str) -> Record | None:
        """The record under `key` as of the last change."""
        changes = self.changes
        return changes[key] if key in changes else self._read(key)

    def account(self, account: str) -> Account | None:
        """The account's header, None when it is not open."""
        if account != self._account:
            self._account, self._header_key = account, account_key(account)
            self._header = typed(self.get(self._header_key), Account)
        return self._header

    def header(self, account: str) -> Account:
        """The header of an account that is open; anything about one that is not is a bug."""
        header = self._header if account == self._account else self.account(account)
        assert header is not None, f"{account} is not open"
        return header

    def put_header(self, account: str, header: Account) -> None:
        """Change the account's header."""
        if account != self._account:
            self._account, self._header_key = account, account_key(account)
        self._header = header
        self.changes[self._header_key] = header

    def partition(self, stream: str) -> Partition:
        """The header of the partition's own stream."""
        if self._partition is None:
            self._partition = typed(self.get(partition_key(stream)), Partition) or Partition()
        return self._partition

    def put_partition(self, stream: str, partition: Partition) -> None:
        """Change the header of the partition's own stream."""
        self._partition = partition
        self.changes[partition_key(stream)] = partition
