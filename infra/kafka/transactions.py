"""The transactional producer: one whole Kafka transaction per call, nothing in the background.

Theory of operation
-------------------
A transactional id names a single writer through time (KIP-98). `initialise` sends InitProducerId: the coordinator
raises the id's epoch, aborts or completes what the predecessor left, and from then on answers the predecessor's
requests with a fencing error. Only after that may the new owner read positions and state; an offset read earlier can
be older than a commit that is already prepared (hazards H4, H5).

`commit` sends the records to the leaders of their partitions (Produce), looks at the answer of EVERY partition, and
only if all are good sends EndTxn(commit). The client library's own producer marks a refused batch on a future that
nobody needs to look at and commits the rest (H3); here there is no accumulator, no sender task and no retry, so the
failed answer, the expired timeout and the lost connection all end in the same place: `TransactionError`, and the
object is dead for ever (H2, H8, H9, H11). Whether the transaction took effect is then unknown or false; the owner
forgets producer and state, initialises again under the same ids and reads the truth from the log. The two answers
that are waited out are CONCURRENT_TRANSACTIONS (the markers of this id's previous transaction are still being
written; nothing was appended, so the same request is sent again after 1, 2, 4 … ms) and, while initialising only, a
coordinator that is loading, moving or unreachable.

Late requests. In the protocol of KIP-98 the epoch stays the same from transaction to transaction, so an EndTxn that
was delayed in the network can end the NEXT transaction half-way: half of it becomes visible. Transactions V2
(KIP-890, Kafka 4) raise the epoch with every transaction: EndTxn v5 answers with the next producer id and epoch, and
Produce v12 adds its partitions to the transaction itself, so a delayed request carries an old epoch and is refused.
When the epoch is used up the broker hands out another producer id; sequence numbers start at 0 whenever id or epoch
changed. Where the cluster has no transaction.version 2, the same class speaks Produce v8, AddPartitionsToTxn and
EndTxn v0: an unknown EndTxn is then made harmless by the next `initialise` only, which raises the epoch. Either way
this class never sends a request again after an unknown outcome.

Two ids in turn. After EndTxn is answered the coordinator still writes markers, and a new transaction of the same id
is told to wait; `infra.kafka.alternating` uses two ids in turn.

Size. A Produce may carry one batch per partition, so records over ``batch_bytes_max`` go in further requests of the
same transaction, in order and with continuing sequence numbers.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    NodeNotReadyError,
    NotCoordinatorError,
    RequestTimedOutError,
    for_code,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest

from infra import failpoints
from infra.kafka.batches import Batch, pack
from infra.kafka.cluster import (
    abilities_of,
    is_connection_fault,
    leader_of,
    refresh,
    send_to_coordinator,
    transaction_coordinator,
)
from infra.kafka.ports import Fenced, Outgoing, TransactionError
from infra.kafka.protocol import (
    CONCURRENT_TRANSACTIONS,
    INVALID_PRODUCER_EPOCH,
    NO_ERROR,
    PRODUCER_FENCED,
    EndTxnV5,
    ProduceV12,
    produce_answers,
)

__all__ = ["Fenced", "Outgoing", "TransactionError", "TransactionalProducer"]
_BACKOFF_FIRST_S = 0.001
_BACKOFF_MAX_S = 0.02
_INITIALISE_RETRY_S = 0.01
_SEQUENCE_END = 1 << 31
_FENCING_CODES = frozenset({INVALID_PRODUCER_EPOCH, PRODUCER_FENCED})
_RETRIED_WHILE_INITIALISING = (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    NodeNotReadyError,
    KafkaConnectionError,
    RequestTimedOutError,
)


class TransactionalProducer:
    """One transactional id; implements `infra.kafka.ports.TransactionalLog`. See the module's theory of operation."""

    def __init__(
        self,
        client: AIOKafkaClient,
        transactional_id: str,
        timeout_ms: int = 10_000,
        *,
        batch_bytes_max: int = 1_000_000,
        transactions_v2: bool | None = None,
    ) -> None:
        """``timeout_ms`` is the broker's limit for a transaction; ours is four fifths of it, so that ours ends first.
        ``transactions_v2`` None asks the cluster; a bool forces the protocol (tests, or a cluster that is migrating).
        """
        self._client = client
        self._transactional_id = transactional_id
        self._timeout_ms = timeout_ms
        self._deadline_s = timeout_ms * 0.8 / 1000
        self._batch_bytes_max = batch_bytes_max
        self._forced_v2 = transactions_v2
        self._v2 = False
        self._coordinator = -1
        self._producer_id = -1
        self._epoch = -1
        self._sequences: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._usable = False

    @property
    def identity(self) -> tuple[int, int]:
        """Producer id and epoch, for logs and tests."""
        return self._producer_id, self._epoch

    @property
    def speaks_v2(self) -> bool:
        """Whether transactions V2 are in use (known after `initialise`)."""
        return self._v2

    async def initialise(self) -> None:
        """Fence every predecessor of this id. Bounded by twice the transaction timeout; raises `TransactionError`."""
        self._usable = False
        try:
            async with asyncio.timeout(self._timeout_ms * 2 / 1000):
                while True:
                    if await self._try_to_initialise():
                        break
                    await asyncio.sleep(_INITIALISE_RETRY_S)
        except TimeoutError as error:
            raise TransactionError(f"{self._transactional_id} could not be initialised in time") from error
        self._sequences.clear()
        self._usable = True

    async def _try_to_initialise(self) -> bool:
        try:
            self._coordinator = await transaction_coordinator(self._client, self._transactional_id)
            request = InitProducerIdRequest(self._transactional_id, self._timeout_ms)
            answer = await send_to_coordinator(self._client, self._coordinator, request)
            if answer.error_code != NO_ERROR:
                raise for_code(answer.error_code)(self._transactional_id)
            self._v2 = await self._choose_protocol()
        except ConcurrentTransactions:
            return False
        except _RETRIED_WHILE_INITIALISING:
            await refresh(self._client)
            return False
        except Exception as error:
            if is_connection_fault(error):
                raise TransactionError(f"{self._transactional_id} could not be initialised: {error!r}") from error
            raise
        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch
        return True

    async def _choose_protocol(self) -> bool:
        if self._forced_v2 is not None:
            return self._forced_v2
        return (await abilities_of(self._client, self._coordinator)).transactions_v2

    async def commit(self, records: Sequence[Outgoing]) -> Mapping[tuple[str, int], int]:
        """One whole transaction; see `infra.kafka.ports.TransactionalLog.commit`. Not to be called concurrently."""
        if not records:
            raise ValueError("a transaction without records has nothing to commit")
        if not self._usable:
            raise TransactionError(f"the producer {self._transactional_id} is dead or not initialised")
        self._usable = False  # until the end is known to be good; a cancelled call leaves it so
        packed = pack(records, self._batch_bytes_max)
        try:
            async with asyncio.timeout(self._deadline_s):
                base_offsets = await self._run(packed)
        except TransactionError:
            raise
        except Exception as error:
            if is_connection_fault(error):
                raise TransactionError(f"the outcome of {self._transactional_id} is unknown: {error!r}") from error
            raise
        self._usable = True
        return base_offsets

    async def _run(self, packed: Mapping[tuple[str, int], Sequence[Batch]]) -> dict[tuple[str, int], int]:
        self._check_sequences(packed)
        if not self._v2:
            await self._add_partitions(packed)
        base_offsets: dict[tuple[str, int], int] = {}
        failpoints.passed("processor.produce.before")
        for number in range(max(len(batches) for batches in packed.values())):
            await self._produce_round(packed, number, base_offsets)
        failpoints.passed("processor.produce.after")
        await self._end()
        failpoints.passed("processor.end.after")
        return base_offsets

    def _check_sequences(self, packed: Mapping[tuple[str, int], Sequence[Batch]]) -> None:
        """A used-up producer must not renew itself: it cannot tell whether it was fenced. Its owner can."""
        for place, batches in packed.items():
            if self._sequences[place] + sum(batch.count for batch in batches) >= _SEQUENCE_END:
                raise TransactionError(f"{self._transactional_id} has used up its sequence numbers")

    async def _produce_round(
        self, packed: Mapping[tuple[str, int], Sequence[Batch]], number: int, base_offsets: dict[tuple[str, int], int]
    ) -> None:
        by_leader: defaultdict[int, dict[tuple[str, int], bytes]] = defaultdict(dict)
        for place, batches in packed.items():
            if number < len(batches):
                batch = batches[number]
                leader = await leader_of(self._client, *place)
                by_leader[leader][place] = batch.build(self._producer_id, self._epoch, self._sequences[place])
                self._sequences[place] += batch.count
        if len(by_leader) == 1:
            ((leader, built),) = by_leader.items()
            await self._produce(leader, built, base_offsets)
            return
        sends = [self._produce(leader, built, base_offsets) for leader, built in by_leader.items()]
        for outcome in await asyncio.gather(*sends, return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _produce(
        self, leader: int, built: dict[tuple[str, int], bytes], base_offsets: dict[tuple[str, int], int]
    ) -> None:
        """Send to one leader until every partition has answered well; only code 51 is sent again."""
        waiting, backoff_s = built, _BACKOFF_FIRST_S
        while True:
            concurrent: dict[tuple[str, int], bytes] = {}
            answers = produce_answers(await self._client.send(leader, self._produce_request(waiting)))
            unanswered = set(waiting)
            for answer in answers:
                place = (answer.topic, answer.partition)
                unanswered.discard(place)
                if answer.error_code == CONCURRENT_TRANSACTIONS:
                    concurrent[place] = waiting[place]
                elif answer.error_code != NO_ERROR:
                    self._refuse("Produce", answer.error_code, f"{place} {answer.message or ''}")
                else:
                    base_offsets.setdefault(place, answer.base_offset)
            if unanswered:
                raise TransactionError(f"{self._transactional_id}: no answer for {sorted(unanswered)}")
            if not concurrent:
                return
            waiting = concurrent
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)

    def _produce_request(self, built: Mapping[tuple[str, int], bytes]) -> Any:
        topics: dict[str, list[tuple[int, bytes]]] = {}
        for (topic, partition), data in built.items():
            topics.setdefault(topic, []).append((partition, data))
        if self._v2:
            return ProduceV12(self._transactional_id, self._timeout_ms, topics)
        return ProduceRequest(self._transactional_id, -1, self._timeout_ms, list(topics.items()))

    async def _add_partitions(self, packed: Mapping[tuple[str, int], Sequence[Batch]]) -> None:
        topics: dict[str, list[int]] = {}
        for topic, partition in packed:
            topics.setdefault(topic, []).append(partition)
        request = AddPartitionsToTxnRequest(
            self._transactional_id, self._producer_id, self._epoch, list(topics.items())
        )

        def codes(answer: Any) -> set[int]:
            return {code for _, partitions in answer.errors for _, code in partitions}

        await self._ask_coordinator("AddPartitionsToTxn", request, codes)

    async def _end(self) -> None:
        identity = (self._transactional_id, self._producer_id, self._epoch)
        request = EndTxnV5(*identity, commit=True) if self._v2 else EndTxnRequest(*identity, True)
        answer = await self._ask_coordinator("EndTxn", request, lambda answer: {answer.error_code})
        if self._v2 and (answer.producer_id, answer.producer_epoch) != (self._producer_id, self._epoch):
            self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch
            self._sequences.clear()

    async def _ask_coordinator(self, name: str, request: Any, codes: Any) -> Any:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            answer = await send_to_coordinator(self._client, self._coordinator, request)
            bad = codes(answer) - {NO_ERROR}
            if not bad:
                return answer
            if bad != {CONCURRENT_TRANSACTIONS}:
                self._refuse(name, min(bad - {CONCURRENT_TRANSACTIONS}), "")
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)

    def _refuse(self, request: str, code: int, detail: str) -> NoReturn:
        error = for_code(code)
        text = f"{request} of {self._transactional_id} was refused with {code} {error.__name__} {detail}".rstrip()
        raise Fenced(text) if code in _FENCING_CODES else TransactionError(text)
