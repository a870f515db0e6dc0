"""The decision state as the fold of `events`, beside the one that stands in the topic `accounts`."""

from collections.abc import Iterable, Mapping, MutableMapping

from infra.kafka.ports import LogReader
from processors.accounts.state import Progress, position_key, suspect_key
from processors.evolve import evolve
from processors.store import Store
from schemas import topics
from schemas.events import Event


class Fold:
    """Folds one partition's events, in order, into a store; `progress` is the position without its record's count.

    `changed` collects the keys of the records that events have changed, once it is a set; see `values`.
    """

    def __init__(
        self, partition: int, values: MutableMapping[str, bytes] | None = None, *, events_a_write: int = 10_000
    ) -> None:
        self.store = Store(partition, values, hot_records_max=events_a_write, keeps_timers=False)
        self._events_a_write = events_a_write
        self.changed: set[str] | None = None
        self.progress = Progress()
        self._unwritten = 0

    def add(self, event: Event) -> None:
        """Evolve the state by the next event; raises AssertionError for one that does not follow."""
        self.store.change(evolve(self.store.read, event))
        at = event.at
        new_command = at.source != (self.progress.offset, self.progress.index)
        self.progress = Progress(
            offset=at.offset,
            index=at.index,
            time_ms=event.time_ms,
            commands=self.progress.commands + new_command,
        )
        self._unwritten += 1
        if self._unwritten >= self._events_a_write:
            self.values()

    def values(self) -> MutableMapping[str, bytes]:
        """The state records as they have to stand on the topic, without the reserved ones; `changed` is up to them."""
        writes = self.store.take_writes()
        if self.changed is not None:
            self.changed.update(key.decode() for key, _ in writes)
        self._unwritten = 0
        return self.store.values()


def differences(folded: Mapping[str, bytes], stored: Store) -> Iterable[str]:
    """The keys whose records differ between a fold and the topic; the reserved records stand outside the fold."""
    reserved = {position_key(stored.stream), suspect_key(stored.stream)}
    held = stored.values()
    for key in sorted((folded.keys() | held.keys()) - reserved):
        if folded.get(key) != held.get(key):
            yield key


async def stored_state(reader: LogReader, partition: int) -> Store:
    """The state as it stands on the topic now, without any fencing."""
    store = Store(partition)
    begin = await reader.begin_offset(topics.ACCOUNTS, partition)
    async for records in reader.read(topics.ACCOUNTS, partition, begin):
        store.load(records)
    store.loaded()
    return store
