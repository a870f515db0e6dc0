"""The projector's end of Kafka: one consumer without a group, at positions that the read models name.

Nothing is committed and nothing is reset: `seek` comes before the first fetch and `auto_offset_reset` is off, so a
position that the log does not have is an error and never a silent jump. Committed records only. The broker answers a
fetch as soon as there is something, so the wait below is no delay; it only bounds how long a partition that is handed
out waits for a fetch that was already under way.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from infra.errors import OperatorError
from infra.kafka.client import connection_arguments, retry_until
from infra.settings import KafkaSettings
from projections.rows import RawRecord
from schemas.topics import EVENTS, KEYS

FETCH_WAIT_MS = 100
_FETCH_BYTES_MAX = 8 << 20
_PARTITION_BYTES_MAX = 2 << 20

Place = tuple[str, int]
Records = Mapping[str, Mapping[int, Sequence[RawRecord]]]


class SourceFault(Exception):
    """The log did not answer; begin again from the stored positions."""


class Source(Protocol):
    """Records of `events` and `keys` in the order of each partition."""

    async def start(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Go to these offsets. Raises OperatorError when the log does not have them, SourceFault when it is away."""
        ...

    async def poll(self, timeout_s: float, records_max: int, places: Collection[Place] = ()) -> Records:
        """What has come, by topic and partition; empty after the timeout. Raises SourceFault.

        Only of the places, where some are named; what comes elsewhere waits.
        """
        ...

    async def progress(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """(next offset to be read, end of the committed log) of each partition. Raises SourceFault.

        The next offset passes transaction markers, which are never handed out.
        """
        ...

    async def stop(self) -> None:
        """Close connections; harmless twice."""
        ...


class KafkaSource:
    """Implements `Source` with aiokafka."""

    def __init__(self, kafka: KafkaSettings, *, fetch_wait_ms: int = FETCH_WAIT_MS, deadline_s: float = 30.0) -> None:
        self._kafka, self._deadline_s = kafka, deadline_s
        self._fetch_wait_ms = fetch_wait_ms
        self._consumer: Any = None
        self._places: list[TopicPartition] = []

    async def start(self, positions: Mapping[tuple[str, int], int]) -> None:
        """See the port."""
        self._consumer = await retry_until(self._connect, self._kafka, self._deadline_s)
        self._places = [TopicPartition(*place) for place in positions]
        self._consumer.assign(self._places)
        begins = await self._asked(self._consumer.beginning_offsets)
        ends = await self._asked(self._consumer.end_offsets)
        for place in self._places:
            position = positions[place.topic, place.partition]
            if position > ends[place]:
                raise _foreign(place, position, ends[place])
            if position < begins[place]:
                if place.topic == EVENTS:
                    raise _shortened(place, position, begins[place])
                position = begins[place]
            self._consumer.seek(place, position)

    async def poll(self, timeout_s: float, records_max: int, places: Collection[Place] = ()) -> Records:
        """See the port."""
        wanted = [TopicPartition(*place) for place in places]
        try:
            got = await self._consumer.getmany(*wanted, timeout_ms=int(timeout_s * 1000), max_records=records_max)
        except OffsetOutOfRangeError as error:
            raise SourceFault(f"the log ends before a position: {error}") from error
        except KafkaError as error:
            raise SourceFault(str(error)) from error
        records: dict[str, dict[int, Sequence[RawRecord]]] = {EVENTS: {}, KEYS: {}}
        for place, part in got.items():
            records.setdefault(place.topic, {})[place.partition] = part
        return records

    async def progress(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """See the port."""
        ends = await self._asked(self._consumer.end_offsets)
        return {
            (place.topic, place.partition): (int(await self._consumer.position(place)), int(ends[place]))
            for place in self._places
        }

    async def stop(self) -> None:
        """See the port."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    async def _asked(self, question: Any) -> Mapping[TopicPartition, int]:
        try:
            found: Mapping[TopicPartition, int] = await question(self._places)
            return found
        except (KafkaError, OSError) as error:
            raise SourceFault(str(error)) from error

    async def _connect(self) -> Any:
        consumer = AIOKafkaConsumer(
            client_id="darkroom-projector",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=self._fetch_wait_ms,
            fetch_max_bytes=_FETCH_BYTES_MAX,
            max_partition_fetch_bytes=_PARTITION_BYTES_MAX,
            check_crcs=True,
            **connection_arguments(self._kafka),
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer


def _foreign(place: TopicPartition, position: int, end: int) -> OperatorError:
    return OperatorError(
        f"The read models are at offset {position} of {place.topic}-{place.partition}, but that log ends at {end}:"
        " the database belongs to another Kafka; give the projector an empty one, it fills it again."
    )


def _shortened(place: TopicPartition, position: int, begin: int) -> OperatorError:
    return OperatorError(
        f"{place.topic}-{place.partition} begins at offset {begin}, but {position} is needed:"
        " the log must be kept for ever; restore it from a backup."
    )
