"""What stands on the log as committed, read once as it grows: events, books, and whether everything has ended."""

from __future__ import annotations

from collections.abc import Sequence

from processors.accounts.state import Progress, position_key
from processors.audit import PartitionAudit
from processors.store import decode_record
from schemas import events as ev
from schemas import topics
from schemas.codec import unpack_items
from schemas.identifiers import partition_stream
from tests.simulation.broker import Broker
from tests.simulation.world import PARTITIONS


class Watch:
    """Keeps the books of every partition; a violation shows in `audits` at the prefix where it stands."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._read = [0] * PARTITIONS
        self.audits = [PartitionAudit(partition) for partition in range(PARTITIONS)]
        self.events: list[list[ev.Event]] = [[] for _ in range(PARTITIONS)]
        self.values: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self.offsets: list[list[int]] = [[] for _ in range(PARTITIONS)]

    def look(self) -> None:
        """Read what has come."""
        for partition, audit in enumerate(self.audits):
            log = self._broker.partitions[topics.EVENTS, partition]
            end = log.end(committed=True)
            for record in log.readable(self._read[partition], end, committed=True):
                event = ev.decode_event(record.value or b"")
                audit.add(event)
                self.events[partition].append(event)
                self.values[partition].append(record.value or b"")
                self.offsets[partition].append(record.offset)
            self._read[partition] = end

    def items(self, partition: int) -> list[tuple[int, int]]:
        """(offset, index) of every item among the commands."""
        log = self._broker.partitions[topics.COMMANDS, partition]
        records = log.readable(0, log.end(committed=False), committed=False)
        return [(record.offset, index) for record in records for index in range(len(unpack_items(record.value)))]

    def unended(self) -> list[str]:
        """What is still under way, a line each."""
        self.look()
        lines = []
        for partition, audit in enumerate(self.audits):
            commands = self._broker.partitions[topics.COMMANDS, partition]
            last = next((record for record in reversed(commands.entries) if record is not None), None)
            decided = self.events[partition][-1].at.source if self.events[partition] else None
            if last is not None and decided != (last.offset, len(unpack_items(last.value)) - 1):
                lines.append(f"partition {partition} has decided {decided} of {last.offset} records")
            for account, books in audit.books.items():
                lines += [f"{job} of {account} has not ended" for job in books.jobs.live]
                lines += [f"{job} of {account} holds a slot" for job in books.jobs.slots]
        return lines

    def violations(self) -> list[str]:
        """What the books have found up to now."""
        return [str(violation) for audit in self.audits for violation in audit.violations]

    def stopped(self) -> Sequence[int]:
        """Partitions that have stopped themselves."""
        return [partition for partition in range(PARTITIONS) if self._progress(partition).stopped]

    def _progress(self, partition: int) -> Progress:
        name = position_key(partition_stream(partition))
        log = self._broker.partitions[topics.ACCOUNTS, partition]
        end = log.end(committed=True)
        for offset in range(end - 1, -1, -1):
            for record in log.readable(offset, offset + 1, committed=True):
                if record.key == name.encode():
                    progress = decode_record(name, record.value or b"")
                    assert isinstance(progress, Progress)
                    return progress
        return Progress()
