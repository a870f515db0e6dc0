"""What servers have written and counted so far: bytes, records, transactions, rows. Differences are work done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psycopg

from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader, end_offsets
from infra.settings import Settings

TABLES_KNOW_AFTER_S = 11.0
"""An idle session of PostgreSQL tells the tables of statistics what it has done after ten seconds."""
_OF_TIME = ("__cluster_metadata",)  # grows as time goes by, whatever is done
_XIDS = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_STATISTICS = """
SELECT xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted
FROM pg_stat_database WHERE datname = current_database()
"""


class Written(msgspec.Struct, frozen=True):
    """Exact at any moment: bytes of Kafka's log, of PostgreSQL's WAL and of objects; objects; transactions that wrote.

    `records` are ends of the partitions of each topic, so markers of transactions count.
    """

    kafka_bytes: int
    wal_bytes: int
    object_bytes: int
    objects: int
    writing_transactions: int
    records: Mapping[str, int]


class Queried(msgspec.Struct, frozen=True):
    """Transactions of any kind and rows written, as the tables of statistics know them: some seconds late."""

    transactions: int
    rows_written: int


async def written(settings: Settings, root: Path) -> Written:
    """Up to now, of the servers whose data lie under `root`."""
    objects = [path.stat().st_size for path in (root / "s3" / "objects").rglob("*") if path.is_file()]
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as session:
        row = session.execute(_XIDS).fetchone()
    assert row is not None
    return Written(
        kafka_bytes=sum(
            path.stat().st_size
            for path in (root / "kafka" / "log").rglob("*.log")
            if not path.parent.name.startswith(_OF_TIME)
        ),
        wal_bytes=int(row[1]),
        object_bytes=sum(objects),
        objects=len(objects),
        writing_transactions=int(row[0]),
        records=await _ends(settings),
    )


def queried(settings: Settings) -> Queried:
    """Up to now, after the tables of statistics have heard of it."""
    time.sleep(TABLES_KNOW_AFTER_S)
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as session:
        row = session.execute(_STATISTICS).fetchone()
    assert row is not None
    return Queried(int(row[0]), int(row[1]))


def until_still(position: Callable[[], object], pause_s: float = 0.3, limit_s: float = 3.0) -> None:
    """Return when the position has not changed for a while, or after the limit: something may always write a little."""
    end_s, last = time.monotonic() + limit_s, position()
    while time.monotonic() < end_s:
        time.sleep(pause_s)
        now = position()
        if now == last:
            return
        last = now


def wal_position(settings: Settings) -> int:
    """Bytes of PostgreSQL's WAL so far."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as session:
        row = session.execute(_XIDS).fetchone()
    assert row is not None
    return int(row[1])


async def _ends(settings: Settings) -> dict[str, int]:
    client = await start_client(settings.kafka, client_id="bench-counters", deadline_s=30)
    try:
        cluster = await client.fetch_all_metadata()
        places = [
            (topic, partition)
            for topic in cluster.topics(exclude_internal_topics=False)
            for partition in cluster.partitions_for_topic(topic)
        ]
        ends: dict[str, int] = {}
        for (topic, _), end in (await end_offsets(KafkaLogReader(client), places, committed=False)).items():
            ends[topic] = ends.get(topic, 0) + end
        return ends
    finally:
        await client.close()
