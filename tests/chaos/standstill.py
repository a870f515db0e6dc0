"""How long a partition stands still: commands wait on the log and nothing is decided."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings
from schemas.topics import COMMANDS, EVENTS

_LOOK_EVERY_S = 0.1


class Standstill:
    """Watches the ends of `commands` and `events`; `longest_s` holds each partition's longest wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.longest_s = [0.0] * settings.partitions
        self._seen = [(-1, -1)] * settings.partitions
        self._waiting_since: list[float | None] = [None] * settings.partitions

    async def watch(self) -> None:
        """Look until cancelled."""
        client = await start_client(self._settings.kafka, client_id="standstill")
        try:
            reader = KafkaLogReader(client)
            while True:
                await asyncio.gather(*(self._look(reader, number) for number in range(self._settings.partitions)))
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            with suppress(asyncio.CancelledError):
                await client.close()

    async def _look(self, reader: KafkaLogReader, partition: int) -> None:
        commands = await reader.end_offset(COMMANDS, partition, committed=False)
        events = await reader.end_offset(EVENTS, partition)
        now_s = time.monotonic()
        commands_before, events_before = self._seen[partition]
        since_s = self._waiting_since[partition]
        if events != events_before:
            if since_s is not None:
                self.longest_s[partition] = max(self.longest_s[partition], now_s - since_s)
            self._waiting_since[partition] = None
        elif commands != commands_before and since_s is None:
            self._waiting_since[partition] = now_s
        self._seen[partition] = (commands, events)
