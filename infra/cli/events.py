"""``darkroom events``: the log as NDJSON CloudEvents."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.target import account_named, data_option, open_reader, running

if TYPE_CHECKING:
    from infra.kafka.ports import LogReader
    from infra.settings import Settings
    from schemas.events import Event
    from schemas.positions import Position

_POLL_S = 0.2


@click.command()
@data_option
@click.option("--account", default=None, help="Only this account: its id, or PRODUCT:SUBJECT.")
@click.option(
    "--from", "from_position", default=None, metavar="POSITION", help="Begin at this position of its partition."
)
@click.option("--follow", is_flag=True, help="Go on with what is appended, until Ctrl-C.")
def events(data: Path | None, account: str | None, from_position: str | None, follow: bool) -> None:
    """Print the log as CloudEvents, one JSON object a line, in the order of time.

    The position of an event is its id. Within an account the order is the order of decisions.
    """
    from schemas.positions import parse_position

    settings = running(data)
    begin = parse_position(from_position) if from_position is not None else None
    if from_position is not None and (begin is None or begin.partition >= settings.partitions):
        raise click.BadParameter(
            "a position reads partition.offset.index.ordinal, such as 3.120.0.1", param_hint="--from"
        )
    name = account_named(settings, account) if account is not None else None
    try:
        asyncio.run(_print(settings, name, begin, follow))
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stderr.close()  # the reader of a pipe has gone: nothing more to say


async def _print(settings: Settings, account: str | None, begin: Position | None, follow: bool) -> None:
    from schemas.cloudevents import structured
    from schemas.codec import encode_json

    async with open_reader(settings) as reader:
        streams = [
            _Stream(reader, partition, await _offset_of(reader, partition, begin))
            for partition in _partitions(settings, account, begin)
        ]
        while True:
            async for event in _merged(streams):
                if account is None or event.account == account:
                    sys.stdout.write(encode_json(structured(event, settings.deployment)).decode() + "\n")
            sys.stdout.flush()
            if not follow:
                return
            await asyncio.sleep(_POLL_S)


def _partitions(settings: Settings, account: str | None, begin: Position | None) -> list[int]:
    from schemas.identifiers import partition_of

    if account is not None:
        own = partition_of(account, settings.partitions)
        if begin is not None and begin.partition != own:
            raise click.BadParameter(f"the account's partition is {own}", param_hint="--from")
        return [own]
    return [begin.partition] if begin is not None else list(range(settings.partitions))


class _Stream:
    """One partition of `events` from an offset on; `ahead` is the next event that is not printed yet."""

    def __init__(self, reader: LogReader, partition: int, offset: int) -> None:
        self._reader = reader
        self._partition = partition
        self._offset = offset
        self._events: AsyncIterator[Event] | None = None
        self.ahead: Event | None = None

    async def advance(self) -> None:
        """Set `ahead` to the next committed event, None at the present end."""
        if self._events is None:
            self._events = self._read()
        self.ahead = await anext(self._events, None)
        if self.ahead is None:
            self._events = None

    async def _read(self) -> AsyncIterator[Event]:
        from schemas.events import decode_event
        from schemas.topics import EVENTS

        end = await self._reader.end_offset(EVENTS, self._partition)
        if self._offset >= end:
            return
        async for records in self._reader.read(EVENTS, self._partition, self._offset, end):
            for record in records:
                self._offset = record.offset + 1
                yield decode_event(record.value or b"")


async def _merged(streams: list[_Stream]) -> AsyncIterator[Event]:
    """The events of all partitions by time, each partition's own order kept."""
    for stream in streams:
        await stream.advance()
    while True:
        live = [stream for stream in streams if stream.ahead is not None]
        if not live:
            return
        first = min(live, key=lambda stream: stream.ahead.time_ms if stream.ahead else 0)
        assert first.ahead is not None
        yield first.ahead
        await first.advance()


async def _offset_of(reader: LogReader, partition: int, begin: Position | None) -> int:
    """The offset in `events` of the first event at or after the position, by bisection."""
    from schemas.topics import EVENTS

    low, high = await reader.begin_offset(EVENTS, partition), await reader.end_offset(EVENTS, partition)
    if begin is None or begin.partition != partition:
        return low
    while low < high:
        middle = (low + high) // 2
        event, offset = await _first_from(reader, partition, middle, high)
        if event is None or event.at >= begin:
            high = middle
        else:
            low = offset + 1
    return low


async def _first_from(reader: LogReader, partition: int, begin: int, end: int) -> tuple[Event | None, int]:
    from schemas.events import decode_event
    from schemas.topics import EVENTS

    async for records in reader.read(EVENTS, partition, begin, end):
        if records:
            return decode_event(records[0].value or b""), records[0].offset
    return None, end
