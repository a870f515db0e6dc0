"""Deleting the beginning of a partition (Kafka's DeleteRecords)."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from infra.kafka.client import connection_arguments
from infra.settings import KafkaSettings


class KafkaTrimmer:
    """Implements `processors.retention.LogTrimmer`; connects for each call, because calls are an hour apart."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Forget every record below `offset`. Raises aiokafka's KafkaError."""
        admin = AIOKafkaAdminClient(**connection_arguments(self._kafka))
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=offset)})
        finally:
            await admin.close()
