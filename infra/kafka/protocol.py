"""The requests that aiokafka lacks: Produce v12, EndTxn v5 (transactions V2, KIP-890) and ApiVersions v3 (KIP-511).

Schemas are those of Kafka 4.1's ``ProduceRequest.json``, ``EndTxnRequest.json`` and ``ApiVersionsResponse.json``.
A version-12 Produce adds its partitions to the transaction by itself; a version-5 EndTxn answers with the
producer id and epoch of the next transaction.
"""

# aiokafka ships no types, so its base classes are Any here.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
    UnsignedVarInt32,
)

API_PRODUCE = 0
API_END_TXN = 26
TRANSACTION_FEATURE = "transaction.version"

_NO_TAGS: dict[int, bytes] = {}
_FINALIZED_FEATURES_TAG = 2

# Answer codes this package decides by (Kafka's protocol guide, "Error codes").
NO_ERROR = 0
COORDINATOR_LOADING = 14
COORDINATOR_NOT_AVAILABLE = 15
NOT_COORDINATOR = 16
DUPLICATE_SEQUENCE = 46
INVALID_PRODUCER_EPOCH = 47
CONCURRENT_TRANSACTIONS = 51
PRODUCER_FENCED = 90


class PartitionAnswer(NamedTuple):
    """One partition's part of a Produce answer. ``append_time_ms`` is -1 unless the topic uses LogAppendTime."""

    topic: str
    partition: int
    error_code: int
    base_offset: int
    append_time_ms: int
    message: str | None


class ProduceResponseV12(Response):
    API_KEY = API_PRODUCE
    API_VERSION = 12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString()),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("offset", Int64),
                        ("timestamp", Int64),
                        ("log_start_offset", Int64),
                        (
                            "record_errors",
                            CompactArray(("batch_index", Int32), ("message", CompactString()), ("tags", TaggedFields)),
                        ),
                        ("error_message", CompactString()),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )


class ProduceRequestV12(RequestStruct):
    API_KEY = API_PRODUCE
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ProduceResponseV12
    SCHEMA = Schema(
        ("transactional_id", CompactString()),
        ("required_acks", Int16),
        ("timeout", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString()),
                (
                    "partitions",
                    CompactArray(("partition", Int32), ("records", CompactBytes), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ProduceV12(Request[ProduceRequestV12]):
    """One Produce with acks=all; ``batches`` are built record batches by topic and partition."""

    API_KEY = API_PRODUCE

    def __init__(
        self, transactional_id: str | None, timeout_ms: int, batches: Mapping[str, Sequence[tuple[int, bytes]]]
    ) -> None:
        self._transactional_id = transactional_id
        self._timeout_ms = timeout_ms
        self._batches = batches

    def build(self, request_struct_class: Any) -> Any:
        topics = [
            (topic, [(partition, records, _NO_TAGS) for partition, records in partitions], _NO_TAGS)
            for topic, partitions in self._batches.items()
        ]
        return request_struct_class(self._transactional_id, -1, self._timeout_ms, topics, _NO_TAGS)


class EndTxnResponseV5(Response):
    API_KEY = API_END_TXN
    API_VERSION = 5
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class EndTxnRequestV5(RequestStruct):
    API_KEY = API_END_TXN
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = EndTxnResponseV5
    SCHEMA = Schema(
        ("transactional_id", CompactString()),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("committed", Boolean),
        ("tags", TaggedFields),
    )


class EndTxnV5(Request[EndTxnRequestV5]):
    """Ends the running transaction; the answer carries the producer id and epoch of the next one."""

    API_KEY = API_END_TXN

    def __init__(self, transactional_id: str, producer_id: int, producer_epoch: int, *, commit: bool) -> None:
        self._arguments = (transactional_id, producer_id, producer_epoch, commit, _NO_TAGS)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(*self._arguments)


class ApiVersionsResponseV3(Response):
    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "api_versions",
            CompactArray(("api_key", Int16), ("min_version", Int16), ("max_version", Int16), ("tags", TaggedFields)),
        ),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )


class ApiVersionsRequestV3(RequestStruct):
    API_KEY = 18
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ApiVersionsResponseV3
    SCHEMA = Schema(("software_name", CompactString()), ("software_version", CompactString()), ("tags", TaggedFields))

    def parse_response_header(self, read_buffer: Any) -> Any:
        """ApiVersions always answers with the oldest header, so that any client can read it (KIP-511)."""
        return ResponseHeader_v0.decode(read_buffer)


class ApiVersionsV3(Request[ApiVersionsRequestV3]):
    """Asks for the supported request versions and the cluster's finalized features."""

    API_KEY = 18

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class("darkroom", "0", _NO_TAGS)


class BrokerAbilities(NamedTuple):
    """What a broker speaks: the newest version of each request, and the finalized feature levels."""

    newest_version: Mapping[int, int]
    features: Mapping[str, int]

    @property
    def transactions_v2(self) -> bool:
        """KIP-890's second part is in effect: epochs rise with each transaction and late requests are refused."""
        return (
            self.features.get(TRANSACTION_FEATURE, 0) >= 2
            and self.newest_version.get(API_PRODUCE, -1) >= 12
            and self.newest_version.get(API_END_TXN, -1) >= 5
        )


def broker_abilities(response: Any) -> BrokerAbilities:
    """Read an ApiVersions v3 answer."""
    features = response.tags.get(_FINALIZED_FEATURES_TAG)
    return BrokerAbilities(
        {api_key: newest for api_key, _, newest, _ in response.api_versions},
        {} if features is None else _finalized_features(BytesIO(features)),
    )


def _finalized_features(data: BytesIO) -> dict[str, int]:
    name = CompactString()
    levels: dict[str, int] = {}
    for _ in range(UnsignedVarInt32.decode(data) - 1):
        feature = name.decode(data)
        levels[feature] = Int16.decode(data)
        Int16.decode(data)  # the lowest level is of no use here
        TaggedFields.decode(data)
    return levels


def produce_answers(response: Any) -> list[PartitionAnswer]:
    """The partitions of a Produce answer of version 2 to 8 or 12."""
    answers = []
    for topic, partitions, *_ in response.topics:
        for entry in partitions:
            message = entry[6] if len(entry) > 6 else None
            answers.append(PartitionAnswer(topic, entry[0], entry[1], entry[2], entry[3], message))
    return answers
