"""``darkroom rebuild-state``: the decision state made anew from `events`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra import failpoints
from infra.cli.target import data_option, open_reader, running

if TYPE_CHECKING:
    from infra.kafka.ports import LogReader, Outgoing
    from infra.settings import Settings

_RECORDS_A_TRANSACTION = 2_000


@click.command("rebuild-state")
@data_option
def rebuild_state(data: Path | None) -> None:
    """Make the topic `accounts` from `events`, partition by partition.

    Fences the processors first; they take their partitions over again by themselves when it is done.
    """
    settings = running(data)
    for partition, written in enumerate(asyncio.run(_rebuild(settings))):
        click.echo(f"partition {partition}: records written: {written}")


async def _rebuild(settings: Settings) -> list[int]:
    from infra.kafka.alternating import owner_producers
    from infra.kafka.client import start_client

    client = await start_client(settings.kafka, client_id="darkroom-rebuild", deadline_s=10.0)
    try:
        async with open_reader(settings) as reader:
            written = []
            for partition in range(settings.partitions):
                producers = owner_producers(client, settings.deployment, partition)
                await producers.initialise()
                records = await _records(reader, partition)
                for at in range(0, len(records), _RECORDS_A_TRANSACTION):
                    failpoints.passed("rebuild-state.transaction.before")
                    await producers.commit(records[at : at + _RECORDS_A_TRANSACTION])
                    failpoints.passed("rebuild-state.transaction.after")
                written.append(len(records))
            return written
    finally:
        await client.close()


async def _records(reader: LogReader, partition: int) -> list[Outgoing]:
    """What has to be written: records that differ from the fold, tombstones for strangers, the position last."""
    from msgspec.structs import replace

    from infra.kafka.ports import Outgoing
    from processors.accounts.state import position_key
    from processors.rebuild import Fold, differences, stored_state
    from schemas.codec import encode_state, unpack_items
    from schemas.events import decode_event
    from schemas.topics import ACCOUNTS, COMMANDS, EVENTS

    fold = Fold(partition)
    async for batch in reader.read(EVENTS, partition, await reader.begin_offset(EVENTS, partition)):
        for record in batch:
            fold.add(decode_event(record.value or b""))
    progress, stored = fold.progress, await stored_state(reader, partition)
    if progress.offset < 0:
        return []
    if progress.offset >= await reader.begin_offset(COMMANDS, partition):
        async for batch in reader.read(COMMANDS, partition, progress.offset, progress.offset + 1, committed=False):
            progress = replace(progress, count=len(unpack_items(batch[0].value)))
    else:
        progress = replace(progress, count=progress.index + 1)
    values: dict[str, bytes | None] = {**fold.values()}
    changed = {key: values.get(key) for key in differences(fold.values(), stored)}
    changed[position_key(fold.store.stream)] = encode_state(progress, 0)
    return [Outgoing(ACCOUNTS, partition, k.encode(), v, (), progress.time_ms) for k, v in changed.items()]
