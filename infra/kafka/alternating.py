"""Two transactional ids per input partition, used in turn.

After EndTxn is answered the coordinator still writes markers, and a new transaction of the same id is told to wait
(20 ms in the stock client). With two ids the next transaction goes to the id whose markers have long been written.
The committed transactions are still a prefix of those sent: number k+1 is sent only after k was acknowledged, a
failure of one id kills the pair, and a new owner initialises both ids before it reads anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.client import AIOKafkaClient

from infra.kafka.ports import Outgoing, TransactionalLog, TransactionError
from infra.kafka.transactions import TransactionalProducer


class AlternatingProducers:
    """Two transactional ids used in turn; implements `infra.kafka.ports.TransactionalLog` over two of them.

    A failure of one kills the pair: without that, the other would commit number k+1 although k is unknown.
    """

    def __init__(self, first: TransactionalLog, second: TransactionalLog) -> None:
        self._producers = (first, second)
        self._turn = 0
        self._usable = False

    async def initialise(self) -> None:
        """Fence the predecessors of both ids; when it raises, no request of either is still being retried."""
        self._usable = False
        for outcome in await asyncio.gather(
            *(producer.initialise() for producer in self._producers), return_exceptions=True
        ):
            if outcome is not None:
                raise outcome
        self._usable = True

    async def commit(self, records: Sequence[Outgoing]) -> Mapping[tuple[str, int], int]:
        """Transaction k+1, after the acknowledgement of k. Calls may not overlap: the second one raises."""
        if not self._usable:
            raise TransactionError("the pair of producers is dead, not initialised, or a commit is still running")
        self._usable = False
        base_offsets = await self._producers[self._turn].commit(records)
        self._turn = 1 - self._turn
        self._usable = True
        return base_offsets


def owner_producers(
    client: AIOKafkaClient, deployment: str, partition: int, *, timeout_ms: int = 10_000
) -> AlternatingProducers:
    """The pair of producers of the owner of an input partition: ``<deployment>.processor.<partition>.<0|1>``."""
    names = [f"{deployment}.processor.{partition}.{number}" for number in (0, 1)]
    return AlternatingProducers(*(TransactionalProducer(client, name, timeout_ms) for name in names))
