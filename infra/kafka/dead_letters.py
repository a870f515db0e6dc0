"""The topic `dead-letters`: what could not be read or decided, and what operators did about it.

A letter's record key is where the item stood (`partition.offset.index` in `commands`), its value the item whole, its
headers say why. A later record of the same key with the header `redriven` says that an operator has put the item on the
log again, and where. Nothing is ever taken out; letters go after 30 days.
"""

from __future__ import annotations

import msgspec

from infra.kafka.ports import LogReader, Outgoing, Record
from schemas.commands import CommandUnreadable, Envelope, decode_command
from schemas.identifiers import is_partition_stream, partition_of
from schemas.topics import COMMANDS, DEAD_LETTERS

_REDRIVEN = "redriven"


class DeadLetter(msgspec.Struct, frozen=True):
    """An item that was put aside: from which topic, when, why, and as what it was redriven, if it was."""

    source: str
    partition: int
    topic: str
    reason: str
    account: str
    time_ms: int
    item: bytes
    redriven: str | None = None


async def read_dead_letters(reader: LogReader, partitions: int) -> list[DeadLetter]:
    """Every letter that is kept, oldest first. Raises ReadFault."""
    letters: dict[tuple[int, str], DeadLetter] = {}
    for partition in range(partitions):
        begin = await reader.begin_offset(DEAD_LETTERS, partition)
        async for batch in reader.read(DEAD_LETTERS, partition, begin):
            for record in batch:
                _take(letters, partition, record)
    return sorted(letters.values(), key=lambda letter: (letter.time_ms, letter.source))


def redriven_mark(letter: DeadLetter, position: str) -> Outgoing:
    """The record that says that the item stands on the log again, at `position`."""
    headers = ((_REDRIVEN, position.encode()), ("topic", letter.topic.encode()))
    return Outgoing(DEAD_LETTERS, letter.partition, letter.source.encode(), b"", headers)


def redrivable(letter: DeadLetter) -> Envelope | str:
    """The command to put on the log again, or one sentence of why that cannot be."""
    if letter.topic != COMMANDS:
        return "Nothing to do: the decider hands work out again by itself until its job has ended."
    if letter.redriven is not None:
        return f"It was redriven as {letter.redriven}."
    try:
        return decode_command(letter.item)
    except CommandUnreadable as error:
        return f"This release cannot read it either ({error}): redrive it with one that can."


def partition_for(letter: DeadLetter, envelope: Envelope, partitions: int) -> int:
    """The partition that owns the command's account; a partition's own command belongs where it stood."""
    if is_partition_stream(envelope.account):
        return letter.partition
    return partition_of(envelope.account, partitions)


def _take(letters: dict[tuple[int, str], DeadLetter], partition: int, record: Record) -> None:
    source = (record.key or b"").decode("utf-8", "replace")
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    known = letters.get((partition, source))
    if _REDRIVEN in headers:
        if known is not None:
            letters[partition, source] = msgspec.structs.replace(known, redriven=headers[_REDRIVEN])
        return
    letters[partition, source] = DeadLetter(
        source=source,
        partition=partition,
        topic=headers.get("topic", ""),
        reason=headers.get("reason", ""),
        account=headers.get("account", ""),
        time_ms=record.timestamp_ms,
        item=record.value or b"",
    )
