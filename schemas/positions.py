"""One position for everything (design section 2, point 5): where in `commands` the source of a fact stands."""

import re

import msgspec

_FORM = re.compile(r"(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})")


class Position(msgspec.Struct, frozen=True, order=True):
    """(partition, record offset, index in the record, event ordinal); positions of one partition are ordered."""

    partition: int
    offset: int
    index: int
    ordinal: int = 0

    def __str__(self) -> str:
        return f"{self.partition}.{self.offset}.{self.index}.{self.ordinal}"

    @property
    def source(self) -> tuple[int, int]:
        """(offset, index) of the command."""
        return (self.offset, self.index)


def parse_position(text: str) -> Position | None:
    """The position written as `partition.offset.index.ordinal` in decimal, or None when `text` is not of that form."""
    match = _FORM.fullmatch(text)
    return Position(*map(int, match.groups())) if match else None
