"""Decisions per second, exactly once, in one processor process; beside a counting Faust agent and a copy loop.

Each round stops the process (SIGSTOP), appends the round's commands, lets it go on and takes the time until the last
one is done: what is measured is a process that reads, decides and commits, not one that starts. Ours has done when
every command has been answered in `replies`, which stands in the same transaction as its events; each must be answered
once. The others report when they have done as many records.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.kafka.client import connection_arguments
from infra.settings import Settings
from schemas import topics
from schemas.asset_commands import RegisterAsset
from schemas.codec import pack_items
from schemas.command_base import StoredObject
from schemas.commands import (
    AnyCommand,
    Envelope,
    Failed,
    IdempotencyKey,
    RecordOutcome,
    ReplyAddress,
    SubmitJob,
    encode_command,
)
from schemas.identifiers import partition_of
from schemas.replies import Answer, JobDecided, JobEndedAnswer, decode_replies
from tests.bench.bare_decide import COPY_TOPIC, FAUST_TOPIC
from tests.bench.children import BenchChild
from tests.bench.measure import Figure, check, cpu_seconds
from tests.bench.topics import append_records

COMMANDS_A_RECORD = 50
ACCOUNTS = 400
LIMIT_S = 60.0
GATEWAY = "gw_bench"


def bench_account(number: int) -> str:
    """The id of one of any number of accounts."""
    return f"acct_bench{number:021d}"


def bench_accounts(count: int) -> list[str]:
    """The first accounts."""
    return [bench_account(number) for number in range(count)]


def submits(round_number: int, count: int, partitions: int, accounts: Sequence[str] = ()) -> dict[int, list[bytes]]:
    """Submit commands of a round by partition, each with an idempotency key and a reply address.

    They are of these accounts in turn, or of `ACCOUNTS` others. No two rounds of one `count` have an id in common.
    """

    def submit(unique: int) -> AnyCommand:
        return SubmitJob(_job(unique), "sandbox/echo", {"seed": unique % 256})

    return _commands(submit, "submit", round_number, count, partitions, accounts)


def outcomes(round_number: int, count: int, partitions: int, accounts: Sequence[str] = ()) -> dict[int, list[bytes]]:
    """Commands that end the jobs of the round's submits wholly, as a dispatcher would that cannot run them.

    A cancel would not do: the attempt of a canceled job keeps its slot, and the job's record, until it is heard of.
    """

    def outcome(unique: int) -> AnyCommand:
        return RecordOutcome(_job(unique), 1, Failed("permanent", "bench", "The bench runs no jobs."))

    return _commands(outcome, "outcome", round_number, count, partitions, accounts)


def registrations(round_number: int, count: int, partitions: int, accounts: Sequence[str]) -> dict[int, list[bytes]]:
    """Commands that make as many assets."""

    def registration(unique: int) -> AnyCommand:
        asset = f"asset_{unique:026d}"
        stored = StoredObject(f"assets/{asset}", 1_000, f"{unique:064x}", "png", 16, 16)
        return RegisterAsset(asset, stored)

    return _commands(registration, "asset", round_number, count, partitions, accounts)


def _job(unique: int) -> str:
    return f"job_{unique:026d}"


def _commands(
    command: Callable[[int], AnyCommand],
    name: str,
    round_number: int,
    count: int,
    partitions: int,
    accounts: Sequence[str],
) -> dict[int, list[bytes]]:
    accounts = accounts or bench_accounts(ACCOUNTS)
    by_partition: dict[int, list[bytes]] = {partition: [] for partition in range(partitions)}
    for number in range(count):
        account = accounts[number % len(accounts)]
        unique = round_number * count + number
        key = hashlib.sha256(f"{name} {unique}".encode()).hexdigest()
        envelope = Envelope(
            id=f"cmd_{name}{unique:020d}",
            account=account,
            product="darkroom",
            command=command(unique),
            sent_ms=1_800_000_000_000,
            reply=ReplyAddress(GATEWAY, f"{name}-{unique}"),
            idempotency=IdempotencyKey(key, key),
        )
        by_partition[partition_of(account, partitions)].append(encode_command(envelope))
    return by_partition


def packed(items: Mapping[int, Sequence[bytes]]) -> dict[int, list[bytes]]:
    """The items of each partition as records of `COMMANDS_A_RECORD`."""
    return {
        partition: [pack_items(of[at : at + COMMANDS_A_RECORD]) for at in range(0, len(of), COMMANDS_A_RECORD)]
        for partition, of in items.items()
    }


class Answers:
    """Reads `replies` from now on, as a gateway does."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = AIOKafkaConsumer(
            isolation_level="read_committed", auto_offset_reset="latest", **connection_arguments(settings.kafka)
        )
        self._places = [TopicPartition(topics.REPLIES, number) for number in range(settings.partitions)]

    async def __aenter__(self) -> Self:
        self._consumer.assign(self._places)
        await self._consumer.start()
        await self._consumer.seek_to_end(*self._places)
        for place in self._places:
            await self._consumer.position(place)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def wait_for(self, count: int, limit_s: float = LIMIT_S, yes_is: type[Answer] = JobDecided) -> float:
        """The monotonic time at which `count` commands had been answered, each once and each with yes.

        Outcomes have no answers of their own: that their jobs have ended (JobEndedAnswer) is told to the submitters,
        and counts only where it is what is waited for.
        """
        correlations: list[str] = []
        yes, ends = 0, yes_is is JobEndedAnswer
        async with asyncio.timeout(limit_s):
            while len(correlations) < count:
                for records in (await self._consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        if record.key == GATEWAY.encode():
                            said = decode_replies(record.value)
                            replies = [one for one in said if isinstance(one.answer, JobEndedAnswer) == ends]
                            correlations += [reply.correlation for reply in replies]
                            yes += sum(isinstance(reply.answer, yes_is) for reply in replies)
        done = time.monotonic()
        check(len(set(correlations)) == count, f"{count} commands got {len(correlations)} answers")
        check(yes == count, f"{count - yes} of {count} commands were not accepted")
        return done


async def ours(
    settings: Settings,
    answers: Answers,
    processor: BenchChild,
    round_number: int,
    count: int,
    accounts: Sequence[str] = (),
) -> Figure:
    """One round of the processor, with submits of these accounts."""
    records = packed(submits(round_number, count, settings.partitions, accounts))
    cpu = cpu_seconds((processor.pid,))
    with processor.paused():
        await append_records(settings, topics.COMMANDS, records)
        started = time.monotonic()
    done = await answers.wait_for(count)
    return Figure(count / (done - started), 1e6 * (cpu_seconds((processor.pid,)) - cpu) / count)


async def bare(settings: Settings, kind: str, child: BenchChild, round_number: int, count: int) -> Figure:
    """One round of a bare loop over the same commands, one a record."""
    items = submits(round_number, count, settings.partitions)
    if kind == "copy":
        records = {0: [item for of in items.values() for item in of]}
    else:
        records = {partition: list(of) for partition, of in items.items()}
    cpu = cpu_seconds((child.pid,))
    with child.paused():
        await append_records(settings, COPY_TOPIC if kind == "copy" else FAUST_TOPIC, records)
        started = time.monotonic()
    await asyncio.to_thread(child.wait_for, lambda: len(_times(child)) > round_number, LIMIT_S)
    done = _times(child)[round_number]
    return Figure(count / (done - started), 1e6 * (cpu_seconds((child.pid,)) - cpu) / count)


def _times(child: BenchChild) -> list[float]:
    return [float(found) for found in re.findall(r"done at ([0-9.]+)", child.output())]
