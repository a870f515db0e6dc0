"""The commands of one transaction: decided one after the other, each seeing the state that the last one left.

Pure but for the store it evolves. Nothing that can be read of a record is lost to something in it that cannot: a broken
item becomes `command-unreadable` at its own place, and the rest of the record is decided (design section 2, point 10).
"""

from infra import failpoints
from infra.kafka.ports import Outgoing, Record
from processors import metrics
from processors.accounts.state import Progress, Suspect, position_key, suspect_key
from processors.decide import decide, quarantined, unreadable
from processors.draft import Draft
from processors.effects import Addressing, dead_letter, draft_records, reply_records, state_records
from processors.jobs.timers import TICK_ITEMS_MAX
from processors.store import Store
from schemas import topics
from schemas.codec import Unreadable, encode_state, unpack_items
from schemas.commands import CommandUnreadable, Envelope, Tick, decode_command, reply_address
from schemas.events import CommandRefused
from schemas.identifiers import is_partition_stream, partition_of, partition_stream
from schemas.replies import Broken, Reply

COMMANDS_A_TRANSACTION_MAX = 1_000
BYTES_A_TRANSACTION_MAX = 2 << 20
TAKEOVERS_MAX = 3
TROUBLES_MAX = 5
TROUBLES_WITHIN_COMMANDS = 1_000


class DecisionFailed(Exception):
    """Deciding the command at `place` raised; the owner ends and the next one tries again, a few times."""

    def __init__(self, place: tuple[int, int, int]) -> None:
        super().__init__(f"deciding the command at {place} failed")
        self.place = place


class Batch:
    """Commands decided for one transaction; `progress` is where the partition stands after them."""

    def __init__(self, store: Store, progress: Progress, partition: int, addressing: Addressing) -> None:
        self.progress = progress
        self._store = store
        self._partition = partition
        self._addressing = addressing
        self._records: list[Outgoing] = []
        self._answers: list[tuple[str, Reply]] = []
        self._commands = self._events = self._bytes = 0
        self._refusals: list[str] = []
        self._own = partition_stream(partition)
        self._suspect = store.suspect()

    @property
    def is_full(self) -> bool:
        """True when the transaction should be committed before the next command."""
        return (
            self._commands >= COMMANDS_A_TRANSACTION_MAX
            or self._bytes >= BYTES_A_TRANSACTION_MAX
            or self.progress.stopped
        )

    def add(self, record: Record) -> None:
        """Decide the record's commands from the position on, until the batch is full; older records are skipped."""
        offset, start = self.progress.next()
        if record.offset < offset:
            return
        assert record.offset == offset, "a gap must be read before it is decided"
        items = unpack_items(record.value)
        time_ms = max(self.progress.time_ms, record.timestamp_ms)
        for index in range(start, len(items)):
            if self.is_full:
                return
            self._apply(items[index], (self._partition, offset, index), len(items), time_ms)

    def records(self) -> list[Outgoing]:
        """All records of the transaction; empty when nothing was decided."""
        if not self._commands:
            return []
        time_ms = self.progress.time_ms
        self._store.change({position_key(self._store.stream): self.progress})
        return [
            *self._records,
            *reply_records(self._answers, self._partition, time_ms),
            *state_records(self._store.take_writes(), self._partition, time_ms),
        ]

    def count(self, state_records_held: int) -> None:
        """Tell the metrics, once the transaction is committed."""
        metrics.TRANSACTIONS.inc()
        metrics.BATCH_COMMANDS.observe(self._commands)
        metrics.STATE_RECORDS.labels(str(self._partition)).set(state_records_held)
        metrics.COMMANDS.inc(self._commands)
        metrics.EVENTS.inc(self._events)
        for refusal in self._refusals:
            metrics.REFUSALS.labels(refusal).inc()

    def _apply(self, item: bytes | Unreadable, place: tuple[int, int, int], count: int, time_ms: int) -> None:
        suspect, suspected, takeovers, trouble = self._suspect, False, 0, True
        if suspect is not None and (suspect.offset, suspect.index) == place[1:]:
            suspected, takeovers = True, suspect.takeovers
        try:
            envelope = self._readable(item, place)
            if takeovers >= TAKEOVERS_MAX:
                draft = self._quarantine(item, envelope, place, time_ms, takeovers)
                records = draft_records(draft, self._addressing)
            else:
                draft, records = self._decide(envelope, place, time_ms)
                trouble = False
        except CommandUnreadable as error:
            draft = self._put_aside(item, place, time_ms, str(error))
            records = draft_records(draft, self._addressing)
        self._store.change(draft.changes)
        if suspected:
            self._store.change({suspect_key(self._own): None})
            self._suspect = None
        self._records.extend(records)
        self._answers.extend(draft.answers)
        self._note(draft, item)
        self._advance(place, count, time_ms, trouble)

    def _note(self, draft: Draft, item: bytes | Unreadable) -> None:
        """Keep the numbers of a draft; the draft itself has said everything and goes."""
        self._commands += 1
        self._events += len(draft.events)
        self._bytes += len(item if isinstance(item, bytes) else item.data)
        for event in draft.events:
            if type(event.data) is CommandRefused:
                self._refusals.append(str(event.data.refusal.__struct_config__.tag))

    def _advance(self, place: tuple[int, int, int], count: int, time_ms: int, trouble: bool) -> None:
        before = self.progress
        commands = before.commands + 1
        troubles, stopped = before.troubles, False
        if trouble:
            recent = (n for n in (*troubles, commands) if n > commands - TROUBLES_WITHIN_COMMANDS)
            troubles = tuple(recent)[-TROUBLES_MAX - 1 :]
            stopped = len(troubles) > TROUBLES_MAX
        self.progress = Progress(
            offset=place[1],
            index=place[2],
            count=count,
            time_ms=time_ms,
            commands=commands,
            troubles=troubles,
            stopped=stopped,
        )

    def _readable(self, item: bytes | Unreadable, place: tuple[int, int, int]) -> Envelope:
        if not isinstance(item, bytes):
            raise CommandUnreadable(item.reason)
        envelope = decode_command(item)
        account = envelope.account
        if account != self._own and (
            partition_of(account, self._addressing.partitions) != place[0] or is_partition_stream(account)
        ):
            raise CommandUnreadable("wrong-partition")
        return envelope

    def _decide(self, envelope: Envelope, place: tuple[int, int, int], time_ms: int) -> tuple[Draft, list[Outgoing]]:
        """The draft and its records; whatever goes wrong in making either is the command's own trouble."""
        due = self._store_due(time_ms) if type(envelope.command) is Tick else ()
        try:
            failpoints.passed("processor.decide.before")
            draft = decide(self._store.read, envelope, place, time_ms, due)
            return draft, draft_records(draft, self._addressing)
        except Exception as error:
            raise DecisionFailed(place) from error

    def _store_due(self, time_ms: int) -> tuple[str, ...]:
        """What is due, as of the commands decided before this one in the same batch."""
        self._records.extend(state_records(self._store.take_writes(), self._partition, time_ms))
        return self._store.due(time_ms, TICK_ITEMS_MAX)

    def _put_aside(self, item: bytes | Unreadable, place: tuple[int, int, int], time_ms: int, reason: str) -> Draft:
        data = item.data if isinstance(item, Unreadable) else bytes(item)
        account, address = reply_address(data)
        draft = unreadable(self._store.read, place, time_ms, reason, len(data))
        draft.answer(address, account, Broken("command-unreadable"))
        self._records.append(dead_letter(data, place, reason, account, time_ms))
        metrics.TROUBLES.labels("unreadable").inc()
        return draft

    def _quarantine(
        self, item: bytes | Unreadable, envelope: Envelope, place: tuple[int, int, int], time_ms: int, takeovers: int
    ) -> Draft:
        assert not isinstance(item, Unreadable)
        self._records.append(dead_letter(item, place, "decision-failed", envelope.account, time_ms))
        metrics.TROUBLES.labels("quarantined").inc()
        return quarantined(self._store.read, envelope, place, time_ms, takeovers)


def suspect_record(store: Store, place: tuple[int, int, int], time_ms: int) -> Outgoing:
    """The reserved record that counts one more takeover in which the command at `place` could not be decided."""
    before = store.suspect()
    takeovers = 1
    if before is not None and (before.offset, before.index) == place[1:]:
        takeovers = before.takeovers + 1
    value = encode_state(Suspect(place[1], place[2], takeovers), 0)
    return Outgoing(topics.ACCOUNTS, place[0], suspect_key(store.stream).encode(), value, (), time_ms)
