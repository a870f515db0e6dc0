"""A log that deciders have really written, commands and state with it: made in this process, deterministic for a seed.

Accounts submit in rounds; dispatchers begin and report; one job in ten fails, one in twelve is canceled. Results are
kept for minutes and keys for an hour of the log's own time, so that what lives stays the same however long it grows.
"""

from __future__ import annotations

import random
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from infra.kafka.ports import Outgoing, Record
from processors.accounts.state import Progress
from processors.batch import Batch
from processors.effects import Addressing
from processors.store import Store
from schemas import commands as cmd
from schemas import events as ev
from schemas import topics
from schemas.codec import pack_items
from schemas.identifiers import partition_of, partition_stream
from schemas.plans import AccountTerms, CostRule, ModelTerms, Plan, WindowTerms

START_MS = 1_750_000_000_000
JOBS_A_ROUND = 8
_ROUND_MS = 1_500
_MINUTE_MS = 60_000
_TERMS = AccountTerms(
    windows=(WindowTerms("day", 1_000_000),),
    idempotency_ttl_ms=60 * _MINUTE_MS,
    results_ttl_ms=10 * _MINUTE_MS,
    in_flight_jobs_max=JOBS_A_ROUND,
)
PLAN = Plan(
    version=1,
    products={"darkroom": {"default": _TERMS}},
    models={
        "sandbox/echo": ModelTerms(
            engine="echo", engine_version="1", lane="standard", cost=CostRule(1), takes_input=False
        )
    },
)


@dataclass
class Step:
    """One record of `commands` and what it led to in one transaction."""

    time_ms: int
    value: bytes
    records: list[Outgoing]


class DecidedPartition:
    """One partition's owner and its clients."""

    def __init__(self, number: int, partitions: int = 8, accounts: int = 20, seed: int = 0) -> None:
        self.number = number
        self.events = 0
        self._addressing = Addressing("bench", partitions)
        self._draw = random.Random(seed * 1_000 + number)
        self._store, self._progress = Store(number), Progress()
        self._time_ms = START_MS
        self._minted = 0
        self._purges: list[tuple[str, str]] = []
        candidates = (f"acct_{candidate:026d}" for candidate in range(10_000_000))
        ours = (name for name in candidates if partition_of(name, partitions) == number)
        self.accounts = [next(ours) for _ in range(accounts)]

    def steps(self, events: int) -> Iterator[Step]:
        """Steps until there are so many events."""
        yield self._step([self._envelope(partition_stream(self.number), cmd.PublishPlan(PLAN))])
        for account in self.accounts:
            yield self._step([self._envelope(account, cmd.GrantCredits(1_000_000_000, "bench"))])
        while self.events < events:
            yield from self._round()

    def _round(self) -> Iterator[Step]:
        account = self._draw.choice(self.accounts)
        jobs = [self._mint("job") for _ in range(JOBS_A_ROUND)]
        yield self._step([self._submit(account, job) for job in jobs])
        yield self._step([self._envelope(account, cmd.AttemptStarted(job, 1, "dispatcher-0")) for job in jobs])
        ends = {job: self._end(account, job) for job in jobs}
        late = [job for job, end in ends.items() if job == jobs[0] or isinstance(end, cmd.CancelJob)]
        outcomes = [*ends.values(), *(self._outcome(account, job) for job in late)]
        yield self._step([self._envelope(account, outcome) for outcome in outcomes])
        purged = [self._envelope(of, cmd.RecordPurge(purge)) for of, purge in self._purges]
        self._purges = []
        yield self._step([*purged, self._envelope(partition_stream(self.number), cmd.Tick())])

    def _submit(self, account: str, job: str) -> cmd.Envelope:
        number = self._minted
        key = cmd.IdempotencyKey(f"{number:032x}", f"{number:032x}")
        return self._envelope(account, cmd.SubmitJob(job, "sandbox/echo", {"seed": number % 256}), key)

    def _end(self, account: str, job: str) -> cmd.Command:
        chance = self._draw.random()
        if chance < 1 / 12:
            return cmd.CancelJob(job)
        if chance < 1 / 12 + 1 / 10:
            failed = cmd.Failed(cause="permanent", reason="broken", detail="The engine said no.")
            return cmd.RecordOutcome(job, 1, failed)
        return self._outcome(account, job)

    @staticmethod
    def _outcome(account: str, job: str) -> cmd.RecordOutcome:
        stored = cmd.StoredObject(f"{account}/{job}/1", 1_234, "0f" * 32, "png", 64, 48)
        return cmd.RecordOutcome(job, 1, cmd.Succeeded(stored, 12))

    def _envelope(self, account: str, command: cmd.Command, key: cmd.IdempotencyKey | None = None) -> cmd.Envelope:
        return cmd.Envelope(
            self._mint("cmd"),
            account,
            "darkroom",
            command,  # type: ignore[arg-type]
            self._time_ms,
            idempotency=key,
        )

    def _step(self, envelopes: Sequence[cmd.Envelope]) -> Step:
        value = pack_items([cmd.encode_command(envelope) for envelope in envelopes])
        self._time_ms += _ROUND_MS // 4
        batch = Batch(self._store, self._progress, self.number, self._addressing)
        batch.add(Record(self._progress.next()[0], self._time_ms, None, value))
        records = batch.records()
        self._progress = batch.progress
        self._note(records)
        return Step(self._time_ms, value, records)

    def _note(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            if record.topic == topics.EVENTS:
                self.events += 1
                if b'"purge-released"' in (record.value or b""):
                    event = ev.decode_event(record.value or b"")
                    assert isinstance(event.data, ev.PurgeReleased)
                    self._purges.append((event.account, event.data.purge))

    def _mint(self, prefix: str) -> str:
        self._minted += 1
        return f"{prefix}_{self.number:03d}{self._minted:023d}"


_HEAD = struct.Struct(">QHI")  # time in ms, bytes of the key, bytes of the value


class FileLog:
    """Implements `infra.kafka.ports.LogReader` over files, one a partition of a topic: nothing stands in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ends: dict[tuple[str, int], int] = {}

    def write(self, partition: DecidedPartition, events: int) -> None:
        """Let the partition decide so many events and keep the log; of the state the last values, as compacted."""
        number, state = partition.number, dict[bytes, bytes]()
        places = [(topic, number) for topic in (topics.COMMANDS, topics.EVENTS, topics.ACCOUNTS)]
        commands, log, accounts = (self._path(*place).open("wb") for place in places)
        with commands, log, accounts:
            for step in partition.steps(events):
                self._append(commands, places[0], step.time_ms, b"", step.value)
                for record in step.records:
                    if record.topic == topics.EVENTS:
                        self._append(log, places[1], step.time_ms, record.key or b"", record.value or b"")
                    elif record.topic == topics.ACCOUNTS and record.key is not None:
                        state.pop(record.key, None)
                        if record.value is not None:
                            state[record.key] = record.value
            for key, value in state.items():
                self._append(accounts, places[2], 0, key, value)

    async def begin_offset(self, topic: str, partition: int) -> int:
        """See the port."""
        return 0

    async def end_offset(self, topic: str, partition: int, *, committed: bool = True) -> int:
        """See the port."""
        return self.ends.get((topic, partition), 0)

    async def read(
        self, topic: str, partition: int, begin: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Sequence[Record]]:
        """See the port."""
        with self._path(topic, partition).open("rb", buffering=1 << 20) as file:
            offset, batch = 0, list[Record]()
            limit = self.ends[topic, partition] if end is None else end
            while offset < limit and (head := file.read(_HEAD.size)):
                time_ms, key_bytes, value_bytes = _HEAD.unpack(head)
                key, value = file.read(key_bytes), file.read(value_bytes)
                if offset >= begin:
                    batch.append(Record(offset, time_ms, key or None, value))
                offset += 1
                if len(batch) == 500:
                    yield batch
                    batch = []
            if batch:
                yield batch

    def _append(self, file: BinaryIO, place: tuple[str, int], time_ms: int, key: bytes, value: bytes) -> None:
        file.write(_HEAD.pack(time_ms, len(key), len(value)) + key + value)
        self.ends[place] = self.ends.get(place, 0) + 1

    def _path(self, topic: str, partition: int) -> Path:
        return self._folder / f"{topic}-{partition}"
