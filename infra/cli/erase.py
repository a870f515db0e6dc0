"""``darkroom erase``: what an account has stored goes, what it has spent stays.

Order of steps, each harmless to repeat: `erase-account` goes on the log; once it is decided, access to everything has
ended and the housekeepers delete the bytes. Then every key of the account that stands on the topic `keys` gets its
tombstone: a key stands there before the first command that uses it, so whatever came before the erasure can be read no
more, by nobody. At last the command waits until read models and gateways know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra import failpoints
from infra.cli.options import account_option
from infra.cli.target import account_named, data_option, running

if TYPE_CHECKING:
    from aiokafka.client import AIOKafkaClient

    from infra.kafka.ports import LogReader
    from infra.settings import Settings
    from schemas.events import Event
    from schemas.positions import Position

_DECIDED_WITHIN_S = 30.0
_VISIBLE_WITHIN_S = 30.0
_POLL_S = 0.1


@click.command()
@data_option
@account_option
@click.option(
    "--purge-within",
    "purge_within_s",
    default=60,
    show_default=True,
    metavar="SECONDS",
    type=click.IntRange(0),
    help="How long to wait until the bytes are deleted.",
)
def erase(data: Path | None, account: str, purge_within_s: int) -> None:
    """End access to everything that an account has stored, delete its bytes and destroy its keys.

    Its balance and ledger stay and add up, and the user may go on: the account then begins with a new key. There is
    no way back. Exit code 1: the bytes were not deleted within the time; that goes on by itself.
    """
    product, settings = account.partition(":")[0], running(data)
    purged = asyncio.run(_told(settings, account_named(settings, account), product, purge_within_s))
    raise SystemExit(0 if purged else 1)


async def _told(settings: Settings, account: str, product: str, purge_within_s: int) -> bool:
    from infra.errors import OperatorError
    from infra.kafka.ports import NotAppended, OutcomeUnknown, ReadFault

    try:
        return await _erase(settings, account, product, purge_within_s)
    except (NotAppended, OutcomeUnknown, ReadFault) as error:
        raise OperatorError(f"The log did not answer in time ({error}): erase again, that is harmless.") from error


async def _erase(settings: Settings, account: str, product: str, purge_within_s: int) -> bool:
    from infra.kafka.client import start_client
    from infra.kafka.reader import KafkaLogReader
    from infra.kafka.records import KafkaRecords
    from infra.sealing.topic import WATCH_EVERY_S, living_keys, tombstones
    from schemas.identifiers import partition_of
    from schemas.topics import EVENTS

    client = await start_client(settings.kafka, client_id="darkroom-erase", deadline_s=10.0)
    try:
        reader = KafkaLogReader(client)
        begin = await reader.end_offset(EVENTS, partition_of(account, settings.partitions))
        position = await _append(settings, client, account, product)
        purge = await _decided(reader, position, begin)
        keys = await living_keys(reader, account, settings.partitions)
        if keys:
            failpoints.passed("erase.tombstones.before")
            await KafkaRecords(client).append(tombstones(account, keys, settings.partitions))
            failpoints.passed("erase.tombstones.after")
        if keys:
            one = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
            click.echo(f"{one} destroyed: what was sealed can be read no more")
        await _visible(settings, account, keys, position)
        await asyncio.sleep(WATCH_EVERY_S)
        click.echo("read models and gateways know")
        if purge is None:
            return True
        if await _purged(reader, position, begin, purge, purge_within_s):
            click.echo("the bytes are deleted")
            return True
        click.echo(f"the bytes are not deleted yet; that goes on by itself until bytes-purged {purge} stands in events")
        return False
    finally:
        await client.close()


async def _append(settings: Settings, client: AIOKafkaClient, account: str, product: str) -> Position:
    from infra.clock import SystemClock
    from infra.ids import SystemIds
    from infra.kafka.appender import CommandAppender
    from schemas.commands import Envelope, EraseAccount, encode_command
    from schemas.identifiers import partition_of
    from schemas.positions import Position
    from schemas.topics import COMMANDS

    partition = partition_of(account, settings.partitions)
    envelope = Envelope(
        SystemIds().mint("cmd"), account, product, EraseAccount(), SystemClock().now_ms(), actor="operator"
    )
    appender = CommandAppender(client, COMMANDS)
    try:
        failpoints.passed("erase.append.before")
        appended = await appender.append(partition, encode_command(envelope))
        failpoints.passed("erase.append.after")
    finally:
        await appender.close()
    return Position(partition, appended.offset, appended.item_index)


async def _decided(reader: LogReader, position: Position, begin: int) -> str | None:
    """Wait for the decision; the name of the purge that it released, None where the account never opened."""
    from infra.errors import OperatorError
    from schemas.events import AccountErased, CommandQuarantined, PurgeReleased

    purge: str | None = None
    try:
        async with asyncio.timeout(_DECIDED_WITHIN_S):
            async for event in _events(reader, position.partition, begin):
                if event.at.source != position.source:
                    continue
                if isinstance(event.data, CommandQuarantined):
                    raise OperatorError("The erasure could not be decided: see `darkroom dead-letters`.")
                if isinstance(event.data, AccountErased):
                    click.echo(f"erased at {event.position}: access to {event.data.assets_through} assets has ended")
                if isinstance(event.data, PurgeReleased):
                    purge = event.data.purge
                if event.last:
                    break
    except TimeoutError as error:
        raise OperatorError(
            f"The erasure stands on the log at {position} and is not decided after {_DECIDED_WITHIN_S:g} s: see that"
            " the processors run, then erase again."
        ) from error
    if purge is None:
        click.echo("the account never opened, nothing was stored: see that PRODUCT:SUBJECT is spelt as the user is")
    return purge


async def _purged(reader: LogReader, position: Position, begin: int, purge: str, within_s: float) -> bool:
    from schemas.events import BytesPurged

    try:
        async with asyncio.timeout(within_s):
            async for event in _events(reader, position.partition, begin):
                if isinstance(event.data, BytesPurged) and event.data.purge == purge:
                    return True
    except TimeoutError:
        pass
    return False


async def _events(reader: LogReader, partition: int, begin: int) -> AsyncIterator[Event]:
    """Events of the partition from `begin` on, for ever."""
    from schemas.events import decode_event
    from schemas.topics import EVENTS

    while True:
        end = await reader.end_offset(EVENTS, partition)
        if begin < end:
            async for batch in reader.read(EVENTS, partition, begin, end):
                for record in batch:
                    yield decode_event(record.value or b"")
            begin = end
        await asyncio.sleep(_POLL_S)


async def _visible(settings: Settings, account: str, keys: list[str], position: Position) -> None:
    """Wait until the read models have applied the decision and the tombstones."""
    from infra.errors import OperatorError
    from infra.postgres.data_keys import PostgresKeyTable
    from infra.postgres.pool import create_pool
    from infra.postgres.positions import reached_positions
    from infra.postgres.readers import Readers

    pool = await create_pool(settings.postgres_dsn, connections_max=1, deadline_s=10.0)
    readers = Readers(pool, 1)
    table = PostgresKeyTable(readers)
    try:
        async with asyncio.timeout(_VISIBLE_WITHIN_S):
            while True:
                reached = (await reached_positions(readers.rows)).get(position.partition)
                known = reached is not None and reached.source >= position.source
                if known and not (await table.find(account)).keys() & set(keys):
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise OperatorError(
            "The account is erased, but the read models do not know it yet: see that the projectors run."
        ) from error
    finally:
        await readers.close()
        await pool.close()
