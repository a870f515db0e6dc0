"""How often consumer groups were balanced anew, read where the broker notes it: `__consumer_offsets`."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from aiokafka.errors import KafkaError

from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings

_TOPIC = "__consumer_offsets"
_GROUP_KEY_VERSION = 2
_FIRST_COMPACT_VERSION = 4


async def generations(settings: Settings) -> dict[str, int]:
    """The last generation of each group. A group that is balanced, or left by its last member, begins a new one."""
    client = await start_client(settings.kafka, client_id="generations")
    try:
        reader, found = KafkaLogReader(client), dict[str, int]()
        await client.force_metadata_update()
        for partition in sorted(client.cluster.partitions_for_topic(_TOPIC) or ()):
            begin = await reader.begin_offset(_TOPIC, partition)
            async for records in reader.read(_TOPIC, partition, begin):
                found.update(parsed((record.key, record.value) for record in records))
        return found
    except KafkaError as error:
        raise AssertionError("the groups' generations cannot be read") from error
    finally:
        await client.close()


def parsed(records: Iterable[tuple[bytes | None, bytes | None]]) -> dict[str, int]:
    """The generations that records of the topic name; the last of each group counts."""
    found = {}
    for key, value in records:
        if key is not None and value is not None and struct.unpack_from(">h", key)[0] == _GROUP_KEY_VERSION:
            found[key[4:].decode()] = _generation(value)
    return found


def _generation(value: bytes) -> int:
    """Behind the version and the protocol's type, a string whose length is written in one of two ways."""
    (version,) = struct.unpack_from(">h", value)
    is_compact = version >= _FIRST_COMPACT_VERSION
    begin = 2 + value[2] if is_compact else 4 + struct.unpack_from(">h", value, 2)[0]
    return int(struct.unpack_from(">i", value, begin)[0])
