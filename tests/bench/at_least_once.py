"""The processor without transactions: what it would be at least once. ``python -m tests.bench.at_least_once``.

It is the product's processor in everything, batches too, but for the port that it commits by: the same records go to
the same partitions in the same batches, with no identity, no fence and no end. A crash between two
batches repeats one; a zombie writes beside its successor. Only the bench runs it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka.client import AIOKafkaClient

from infra.kafka.batches import pack
from infra.kafka.cluster import leader_of
from infra.kafka.hot_requests import HotProduce
from infra.kafka.ports import Outgoing, TransactionalLog, TransactionError
from infra.kafka.protocol import NO_ERROR, produce_answers
from infra.settings import Settings
from processors import app

_BATCH_BYTES_MAX = 1_000_000
_TIMEOUT_MS = 8_000
_NO_IDENTITY = (-1, -1, -1)


class PlainLog:
    """`TransactionalLog` in form, not in what it promises."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    async def initialise(self) -> None:
        """Nobody is fenced."""

    async def commit(self, records: Sequence[Outgoing]) -> Mapping[tuple[str, int], int]:
        """Append all that the brokers take; raises when one partition does not."""
        packed = pack(records, _BATCH_BYTES_MAX, transactional=False)
        offsets: dict[tuple[str, int], int] = {}
        for number in range(max(len(batches) for batches in packed.values())):
            by_leader: defaultdict[int, dict[str, list[tuple[int, bytes]]]] = defaultdict(lambda: defaultdict(list))
            for (topic, partition), batches in packed.items():
                if number < len(batches):
                    leader = await leader_of(self._client, topic, partition)
                    by_leader[leader][topic].append((partition, batches[number].build(*_NO_IDENTITY)))
            for leader, built in by_leader.items():
                request = HotProduce(None, -1, _TIMEOUT_MS, list(built.items()))
                for answer in produce_answers(await self._client.send(leader, request)):
                    if answer.error_code != NO_ERROR:
                        raise TransactionError(f"{answer.topic}-{answer.partition}: refused with {answer.error_code}")
                    offsets.setdefault((answer.topic, answer.partition), answer.base_offset)
        return offsets


def _plain(client: AIOKafkaClient, deployment: str, partition: int) -> TransactionalLog:
    return PlainLog(client)


if __name__ == "__main__":
    setattr(app, "owner_producers", _plain)  # noqa: B010
    app.run_processor(Settings(), 0)
