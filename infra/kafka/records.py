"""Appending single records with keys: acks=all, neither idempotent nor transactional.

Theory of operation. For each partition the records go out in batches, one Produce after the other, so their order is
kept. An attempt without an answer is sent again until the deadline; since the broker may have taken the first one, a
record can land twice, and two attempts can land out of order with another caller's. That is right for records that say
something absolute (a session is revoked, a batch of accesses with its own id) and wrong for anything that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest

from infra.kafka.batches import Batch
from infra.kafka.cluster import is_connection_fault, leader_of, refresh
from infra.kafka.ports import NotAppended, Outgoing
from infra.kafka.protocol import NO_ERROR, produce_answers

_RETRY_S = 0.05
_BATCH_BYTES_MAX = 512 << 10


class KafkaRecords:
    """Implements `infra.kafka.ports.Records` over a started client. Safe for concurrent calls."""

    def __init__(self, client: AIOKafkaClient, *, delivery_timeout_s: float = 5.0) -> None:
        self._client, self._delivery_timeout_s = client, delivery_timeout_s

    async def append(self, records: Sequence[Outgoing]) -> None:
        """See `infra.kafka.ports.Records.append`."""
        places: dict[tuple[str, int], list[Outgoing]] = {}
        for record in records:
            places.setdefault((record.topic, record.partition), []).append(record)
        outcomes = await asyncio.gather(
            *(self._append(*place, group) for place, group in places.items()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _append(self, topic: str, partition: int, records: Sequence[Outgoing]) -> None:
        last = "no leader"
        try:
            async with asyncio.timeout(self._delivery_timeout_s):
                for batch in _batches(records):
                    while (fault := await self._sent(topic, partition, batch)) is not None:
                        last = fault
                        await asyncio.sleep(_RETRY_S)
                        await refresh(self._client)
        except TimeoutError as error:
            raise NotAppended(f"{topic}-{partition} did not take the records in time ({last})") from error

    async def _sent(self, topic: str, partition: int, batch: bytes) -> str | None:
        """One attempt: None when the batch is on the log, else why not. Raises NotAppended where repeating is vain."""
        timeout_ms = int(self._delivery_timeout_s * 1000)
        request = ProduceRequest(None, -1, timeout_ms, [(topic, [(partition, batch)])])
        try:
            leader = await leader_of(self._client, topic, partition)
            (answer,) = produce_answers(await self._client.send(leader, request))
        except Exception as error:
            if not is_connection_fault(error):
                raise
            return type(error).__name__
        if answer.error_code == NO_ERROR:
            return None
        fault = for_code(answer.error_code)
        if not getattr(fault, "retriable", False):
            raise NotAppended(f"{topic}-{partition} refused the records ({fault.__name__})")
        return str(fault.__name__)


def _batches(records: Sequence[Outgoing]) -> list[bytes]:
    """The records as batches in order; none over the limit unless one record alone is."""
    batches = [Batch(_BATCH_BYTES_MAX, transactional=False)]
    for record in records:
        if not batches[-1].add(record):
            batches.append(Batch(_BATCH_BYTES_MAX, transactional=False))
            batches[-1].add(record)
    return [batch.build(-1, -1, -1) for batch in batches if batch.count]
