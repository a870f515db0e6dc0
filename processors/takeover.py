"""Taking a partition over: fence, then read, then go on (hazards H5 to H7).

Order is everything. Initialising both transactional ids ends every transaction of a predecessor, committed or aborted;
only after that is the end of the log the truth, so only then is the state read, up to the last stable offset. The
record `position` in the state alone says where to go on; `events` is checked against it, because a state that was
read short would decide commands twice.
"""

from collections.abc import AsyncIterator, Sequence

from infra.kafka.ports import LogReader, Record
from processors.accounts.state import Progress
from processors.store import Store
from schemas import topics
from schemas.events import decode_event
from schemas.identifiers import partition_stream

EVENTS_TAIL = 64


class StateBehindLog(Exception):
    """The state topic and `events` disagree about the last command; going on would decide commands twice."""


async def load_store(reader: LogReader, partition: int) -> Store:
    """The partition's state as committed. Call only after fencing; raises StateBehindLog, StateTooNew, ReadFault."""
    store = Store(partition)
    begin = await reader.begin_offset(topics.ACCOUNTS, partition)
    end = await reader.end_offset(topics.ACCOUNTS, partition)
    if begin < end:
        async for records in reader.read(topics.ACCOUNTS, partition, begin, end):
            store.load(records)
    store.loaded()
    await _check_events(reader, partition, store.progress())
    return store


async def _check_events(reader: LogReader, partition: int, progress: Progress) -> None:
    """The last committed event must stem from the last applied command; empty topics go with an untouched state."""
    last = await _last_event(reader, partition)
    if last is None:
        if progress.offset >= 0:
            raise StateBehindLog(f"{partition_stream(partition)}: a position without any event in `events`")
        return
    at = decode_event(last.value or b"").at
    if at.source != (progress.offset, progress.index):
        raise StateBehindLog(
            f"{partition_stream(partition)}: the state stands at {progress.offset}.{progress.index}, "
            f"the last event at {at.offset}.{at.index}; run `darkroom rebuild-state`"
        )


async def _last_event(reader: LogReader, partition: int) -> Record | None:
    begin = await reader.begin_offset(topics.EVENTS, partition)
    end = await reader.end_offset(topics.EVENTS, partition)
    span = EVENTS_TAIL
    while begin < end:
        start = max(begin, end - span)
        last = await _last_of(reader.read(topics.EVENTS, partition, start, end))
        if last is not None or start == begin:
            return last
        span *= 16  # only markers and aborted records there: look further back
    return None


async def _last_of(batches: AsyncIterator[Sequence[Record]]) -> Record | None:
    last: Record | None = None
    async for records in batches:
        if records:
            last = records[-1]
    return last
