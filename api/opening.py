"""The query side's own connections, opened and closed in the right order; for the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from api.archive_queries import ArchiveQueries
from api.audit_queries import AuditQueries
from api.consistency import Consistency
from api.log_end import KafkaLogEnd
from api.ports import ApiPorts
from api.queries import Queries
from api.reached import Listener, Reached
from infra.clock import Clock
from infra.http.last_positions import LastPositions
from infra.http.media_links import open_links
from infra.http.signing import open_signer
from infra.http.tokens import read_secret
from infra.kafka.ports import LogReader
from infra.postgres.migrate import migrate_when_up
from infra.postgres.pool import READERS_OF_THE_API
from infra.postgres.readers import Readers
from infra.s3.store import ObjectStore
from infra.sealing.keys import KeyRing
from infra.settings import Settings
from infra.views import Views
from schemas.catalogue import Catalogue


@asynccontextmanager
async def open_api(
    settings: Settings,
    pool: asyncpg.Pool,
    reader: LogReader,
    *,
    last_positions: LastPositions,
    keys: KeyRing,
    objects: ObjectStore,
    catalogue: Catalogue,
    clock: Clock,
    views: Views,
) -> AsyncIterator[ApiPorts]:
    """The ports of `api.routes.ROUTES`; listens for positions while it is open.

    Brings the schema up to date first. `pool` and `reader` stay the caller's. Raises OperatorError where PostgreSQL
    does not answer or the deployment's secret is missing.
    """
    await asyncio.to_thread(migrate_when_up, settings.postgres_dsn)
    reached, readers = Reached(), Readers(pool, READERS_OF_THE_API)
    consistency = Consistency(reached, KafkaLogEnd(reader), last_positions, settings.partitions)
    ports = ApiPorts(
        queries=Queries(readers),
        archive=ArchiveQueries(readers),
        audit=AuditQueries(readers),
        consistency=consistency,
        keys=keys,
        objects=objects,
        catalogue=catalogue,
        clock=clock,
        signer=open_signer(settings),
        links=open_links(settings, clock),
        identifier_key=read_secret(settings.secrets_dir, "identifier.key"),
        views=views,
        partitions=settings.partitions,
        deployment=settings.deployment,
        base_url=settings.gateway.base_url,
    )
    listening = asyncio.create_task(Listener(settings.postgres_dsn, reached).run(), name="hear positions")
    try:
        yield ports
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await readers.close()
