"""The producer against a scripted broker: identities, sequences and code 51, which a real one shows too rarely."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from infra.kafka.ports import Fenced, Outgoing, TransactionError
from infra.kafka.protocol import EndTxnV5, ProduceV12
from infra.kafka.transactions import TransactionalProducer

_PRODUCER_STATE = struct.Struct(">qhi")
_PRODUCER_STATE_AT = 43  # producer id, epoch and base sequence in a record batch of format 2


@dataclass
class ScriptedClient:
    """Answers like a broker; ``end`` and ``produce`` may be replaced by a test."""

    leaders: dict[tuple[str, int], int] = field(default_factory=dict)
    produced: list[tuple[str, int, tuple[int, int, int]]] = field(default_factory=list)
    ends: list[tuple[int, int]] = field(default_factory=list)
    end: Callable[[int, int], tuple[int, int, int]] = lambda identity, epoch: (0, identity, epoch + 1)
    produce: Callable[[str, int, int], int] = lambda topic, partition, attempt: 0
    identity: tuple[int, int] = (7, 0)
    attempts: int = 0

    def __post_init__(self) -> None:
        self.cluster = SimpleNamespace(
            leader_for_partition=lambda place: self.leaders.get((place.topic, place.partition), 1)
        )

    def get_random_node(self) -> int:
        return 1

    async def coordinator_lookup(self, kind: int, key: str) -> int:
        return 1

    async def force_metadata_update(self) -> None:
        return None

    async def send(self, node: int, request: Any, group: int = 0) -> Any:
        await asyncio.sleep(0)
        if isinstance(request, ProduceV12):
            return self._produce(request)
        if isinstance(request, EndTxnV5):
            _, identity, epoch, _, _ = request._arguments
            self.ends.append((identity, epoch))
            code, next_identity, next_epoch = self.end(identity, epoch)
            return SimpleNamespace(error_code=code, producer_id=next_identity, producer_epoch=next_epoch)
        return SimpleNamespace(error_code=0, producer_id=self.identity[0], producer_epoch=self.identity[1])

    def _produce(self, request: ProduceV12) -> Any:
        self.attempts += 1
        topics: list[Any] = []
        for topic, partitions in request._batches.items():
            entries: list[Any] = []
            for partition, data in partitions:
                code = self.produce(topic, partition, self.attempts)
                if code == 0:
                    self.produced.append((topic, partition, _PRODUCER_STATE.unpack_from(data, _PRODUCER_STATE_AT)))
                entries.append((partition, code, 100, -1, 0, [], None, {}))
            topics.append((topic, entries, {}))
        return SimpleNamespace(topics=topics)


async def producer_on(client: ScriptedClient, **arguments: Any) -> TransactionalProducer:
    producer = TransactionalProducer(client, "id", 2_000, transactions_v2=True, **arguments)
    await producer.initialise()
    return producer


def one(value: bytes = b"v", topic: str = "t") -> Outgoing:
    return Outgoing(topic, 0, b"k", value)


async def test_the_next_epoch_is_used_and_sequences_start_again() -> None:
    client = ScriptedClient()
    producer = await producer_on(client)
    for _ in range(3):
        await producer.commit([one(), one()])
    assert [state for _, _, state in client.produced] == [(7, 0, 0), (7, 1, 0), (7, 2, 0)]


async def test_a_new_producer_id_at_the_end_of_the_epochs_is_used() -> None:
    client = ScriptedClient(
        end=lambda identity, epoch: (0, identity + 1, 0) if epoch == 32_766 else (0, identity, epoch + 1)
    )
    client.identity = (7, 32_765)
    producer = await producer_on(client)
    for _ in range(4):
        await producer.commit([one()])
    assert client.ends == [(7, 32_765), (7, 32_766), (8, 0), (8, 1)]
    assert [state for _, _, state in client.produced] == [(7, 32_765, 0), (7, 32_766, 0), (8, 0, 0), (8, 1, 0)]


async def test_an_epoch_that_did_not_move_keeps_the_sequences() -> None:
    client = ScriptedClient(end=lambda identity, epoch: (0, identity, epoch))
    producer = await producer_on(client)
    await producer.commit([one(), one()])
    await producer.commit([one()])
    assert [state for _, _, state in client.produced] == [(7, 0, 0), (7, 0, 2)]


async def test_batches_of_one_transaction_continue_the_sequence() -> None:
    client = ScriptedClient()
    producer = await producer_on(client, batch_bytes_max=200)
    await producer.commit([one(b"x" * 90) for _ in range(4)])
    assert [state for _, _, state in client.produced] == [(7, 0, 0), (7, 0, 1), (7, 0, 2), (7, 0, 3)]


async def test_only_the_partitions_that_were_told_to_wait_are_sent_again() -> None:
    client = ScriptedClient(produce=lambda topic, _, attempt: 51 if topic == "slow" and attempt < 4 else 0)
    producer = await producer_on(client)
    base = await producer.commit([one(topic="fast"), one(topic="slow")])
    assert base == {("fast", 0): 100, ("slow", 0): 100}
    assert [topic for topic, _, _ in client.produced] == ["fast", "slow"]
    assert len(client.ends) == 1


async def test_a_transaction_that_is_told_to_wait_for_ever_ends_in_time() -> None:
    client = ScriptedClient(produce=lambda *_: 51)
    producer = await producer_on(client)
    with pytest.raises(TransactionError, match="unknown"):
        await producer.commit([one()])
    assert client.ends == []


@pytest.mark.parametrize(
    ("code", "error"), [(47, Fenced), (90, Fenced), (48, TransactionError), (49, TransactionError)]
)
async def test_a_refusal_of_one_leader_ends_the_transaction_without_its_end(code: int, error: type[Exception]) -> None:
    client = ScriptedClient(leaders={("other", 0): 2}, produce=lambda topic, *_: code if topic == "other" else 0)
    producer = await producer_on(client)
    with pytest.raises(error):
        await producer.commit([one(), one(topic="other")])
    assert client.ends == []
    with pytest.raises(TransactionError, match="dead"):
        await producer.commit([one()])


async def test_a_partition_without_an_answer_is_a_failure() -> None:
    client = ScriptedClient()
    producer = await producer_on(client)
    client._produce = lambda request: SimpleNamespace(topics=[])  # type: ignore[method-assign]
    with pytest.raises(TransactionError, match="no answer"):
        await producer.commit([one()])
    assert client.ends == []


async def test_used_up_sequences_end_the_producer_before_anything_is_sent() -> None:
    client = ScriptedClient(end=lambda identity, epoch: (0, identity, epoch))
    producer = await producer_on(client)
    producer._sequences["t", 0] = (1 << 31) - 1
    with pytest.raises(TransactionError, match="sequence"):
        await producer.commit([one()])
    assert client.produced == []


async def test_a_cancelled_commit_leaves_the_producer_dead() -> None:
    client = ScriptedClient(produce=lambda *_: 51)
    producer = await producer_on(client)
    task = asyncio.create_task(producer.commit([one()]))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(TransactionError, match="dead"):
        await producer.commit([one()])
