"""One processor hangs (SIGSTOP) under load; submits to the partitions of the others keep their pace.

Part of ``make overload``. Submits arrive whether or not they are answered, spread over all accounts. Which partitions
the process owned when it was stopped is asked of the group's coordinator, so slow answers cannot hide among them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from infra.cli.target import settings_for
from infra.http.tokens import read_secret
from infra.kafka.client import connection_arguments
from infra.local.layout import Layout
from infra.settings import Settings
from schemas.identifiers import account_id, partition_of
from schemas.topics import COMMANDS
from tests.bench.clients import shapes, tokens
from tests.chaos.arrivals import ECHO, Answer, Arrivals, acknowledged_within_s
from tests.stack import Stack

NAME = "processor-0"
HANGS_S = 15.0
BEFORE_S = 2.0
P99_MAX_S = 1.0
_ACCOUNTS, _CONNECTIONS = 64, 256


@dataclass(frozen=True)
class HungReport:
    """Answers by whose partition was asked for; the others are those of processors that live."""

    of_hung: Sequence[Answer]
    of_others: Sequence[Answer]

    @property
    def p99_s(self) -> float:
        """Of acknowledged submits to partitions of processors that live."""
        return acknowledged_within_s(self.of_others, 0.99)

    @property
    def violations(self) -> list[str]:
        """What does not hold."""
        acknowledged = sum(answer.job is not None for answer in self.of_others)
        checks = {
            "no partition was of the hung processor, or none of another one": not (self.of_hung and self.of_others),
            f"{len(self.of_others) - acknowledged} submits to others were not acknowledged": acknowledged
            < len(self.of_others),
            f"submits to others were acknowledged after {self.p99_s:.2f} s (p99)": self.p99_s > P99_MAX_S,
        }
        return [said for said, is_wrong in checks.items() if is_wrong]

    def text(self) -> str:
        """Two lines for people."""
        told = sum(answer.job is not None for answer in self.of_hung)
        return "\n".join(
            [
                f"a processor hangs for {HANGS_S:.0f} s: {len(self.of_others)} submits to partitions of the other one, "
                f"p99 {1000 * self.p99_s:.0f} ms; {told} of {len(self.of_hung)} to its own were acknowledged",
                *(f"DOES NOT HOLD: {line}" for line in self.violations),
            ]
        )


async def hung(stack: Stack, a_second: float) -> HungReport:
    """Stop one of two processors while submits arrive, and let it go on; what was told meanwhile."""
    settings = settings_for(stack.data)
    bearers = tokens(settings, _ACCOUNTS)
    key = read_secret(settings.secrets_dir, "identifier.key")
    accounts = [account_id(key, "darkroom", f"bench-{number}") for number in range(_ACCOUNTS)]
    partitions = [partition_of(account, settings.partitions) for account in accounts]
    arrivals = Arrivals(stack.port, shapes(bearers, ECHO, "respond-async"), _CONNECTIONS)
    storm = asyncio.create_task(arrivals.run(a_second, BEFORE_S + HANGS_S))
    await asyncio.sleep(BEFORE_S)
    theirs = await owned(settings, Layout(stack.data), NAME)
    pid = stack.status()[NAME]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        answers = await storm
    finally:
        os.kill(pid, signal.SIGCONT)
    of_hung = [answer for answer in answers if partitions[answer.shape] in theirs]
    return HungReport(of_hung, [answer for answer in answers if partitions[answer.shape] not in theirs])


async def owned(settings: Settings, layout: Layout, name: str) -> frozenset[int]:
    """The partitions of `commands` that a process owns, as the coordinator of its group has it."""
    member = json.loads(layout.member_file(name).read_text(encoding="utf-8"))
    admin = AIOKafkaAdminClient(**connection_arguments(settings.kafka))
    await admin.start()
    try:
        (described,) = await admin.describe_consumer_groups([member["group"]])
    finally:
        await admin.close()
    ((_, _, _, _, _, members, *_),) = described.groups
    found = next(assignment for member_id, _, _, _, assignment, *_ in members if member_id == member["member_id"])
    assigned = ConsumerProtocolMemberAssignment.decode(found).assignment
    return frozenset(number for topic, numbers in assigned if topic == COMMANDS for number in numbers)
