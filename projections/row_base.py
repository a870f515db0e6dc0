"""What every row change is made with; the kinds themselves stand in `projections.rows`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from schemas.events import Event


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


Rows = Mapping[type[Row], Sequence[Row]]
"""Row changes by kind; kinds without rows are left out."""


def rows_of(*groups: Sequence[Row]) -> Rows:
    """The groups that are not empty, each under the type of its rows."""
    return {type(group[0]): group for group in groups if group}
