"""The gateway process: the writing and the reading side in one ASGI application, or each alone.

Starting is a stack of ports, each of which waits (bounded) for its server, so that everything may come up side by side;
stopping lets requests under way end, then closes the ports in reverse. Requests find their ports in a record that the
start fills.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import asyncpg
import uvicorn
from aiokafka.client import AIOKafkaClient
from starlette.types import ASGIApp

from api import routes as api_routes
from api.opening import open_api
from api.ports import ApiPorts
from infra.cli.gateway_log import GatewayLog
from infra.clock import SystemClock
from infra.errors import OperatorError
from infra.http import session_routes
from infra.http.addresses import server_arguments
from infra.http.application import build_application, surfaces_of
from infra.http.auth import BearerGate
from infra.http.doors import Doors, Gates
from infra.http.last_positions import LastPositions
from infra.http.limits import GatewayLock, Limiter, LimitSettings
from infra.http.login import Logins, open_logins
from infra.http.media_links import open_links
from infra.http.observe import AccessLog
from infra.http.openapi import openapi_document
from infra.http.pages import Check, pages
from infra.http.pressure import LoopPressure
from infra.http.protocol import LimitedProtocol
from infra.http.routing import Operation
from infra.http.session_routes import SessionPorts
from infra.http.tokens import read_secret
from infra.ids import SystemIds
from infra.kafka.appender import CommandAppender
from infra.kafka.client import BrokersUnreachable, start_client
from infra.kafka.follower import KafkaFollower
from infra.kafka.reader import KafkaLogReader
from infra.logs import get_logger
from infra.plans import load_catalogue, load_plan
from infra.postgres.data_keys import PostgresKeyTable
from infra.postgres.pool import READERS_OF_BOTH_PARTS, create_pool
from infra.postgres.readers import Readers
from infra.remote.fetch import GuardedFetcher
from infra.remote.settings import load_remote_settings
from infra.s3.bucket import open_store
from infra.s3.store import ObjectStore
from infra.sealing.keys import KeyRing, StoredKeyRing
from infra.sealing.topic import TopicKeyStore
from infra.settings import Settings
from infra.views import open_views
from ingest import routes as ingest_routes
from ingest.intake import Intake
from ingest.ports import IngestPorts
from ingest.read_side import PostgresReadSide
from ingest.replies import LogReplyReader, Waiters
from schemas.catalogue import Catalogue
from schemas.topics import COMMANDS, REPLIES

Part = Literal["all", "ingest", "api"]
START_LIMIT_S = 60.0
STOP_LIMIT_S = 10
_KEEP_ALIVE_S = 75
_log = get_logger(__name__)


def run_gateway(settings: Settings, parts: Part, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OperatorError for what the operator can mend."""
    limits = LimitSettings()
    with GatewayLock(settings.data_dir, parts, limits):
        config = uvicorn.Config(
            make_application(settings, parts, limits),
            host=host,
            port=port,
            loop="uvloop",
            http=LimitedProtocol,
            ws="none",
            lifespan="on",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            **server_arguments(settings.gateway.trusted_proxies),
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_LIMIT_S,
            backlog=2048,
        )
        server = uvicorn.Server(config)
        server.run()
        if not server.started:
            raise OperatorError(f"The gateway did not start on {host}:{port}: the log above says why.")


def make_application(settings: Settings, parts: Part, limits: LimitSettings) -> ASGIApp:
    """The ASGI application of the parts; its lifespan starts and stops their ports."""
    identifier_key = read_secret(settings.secrets_dir, "identifier.key")
    operations = operations_of(parts)
    did_product = next((surface.product for surface in surfaces_of(operations) if surface.did), None)
    log = GatewayLog(settings, identifier_key, did_product=did_product)
    ports: dict[type[Any], Any] = {}
    checks: dict[str, Check] = {}
    access_log, limiter = AccessLog(), Limiter(limits)
    pressure = LoopPressure(settings.gateway.loop_lag_max_ms / 1000)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(access_log.flush)
            stack.push_async_callback(limiter.close)
            try:
                ports[SessionPorts] = await stack.enter_async_context(log.open(START_LIMIT_S))
                checks["sessions"] = log.is_current
                await _start(settings, parts, identifier_key, stack, ports, checks)
            except (OperatorError, BrokersUnreachable) as error:
                _log.error("not-started", reason=str(error))
                raise
            gc.freeze()  # what lives as long as the process is looked through for cycles no more: 60 ms a time
            _log.info("gateway-ready", parts=parts)
            async with pressure.watched():
                yield

    document = openapi_document(operations, version=_version(), server_url=settings.gateway.base_url)
    native = BearerGate(log.authenticator, limiter, log.addresses)
    doors = Doors(log.authenticator, limiter, log.addresses, identifier_key, settings.gateway.origins)
    return build_application(
        operations,
        Gates(native, doors, pressure),
        ports,
        pages=pages(document, checks),
        lifespan=lifespan,
        access_log=access_log,
        trail=log.trail,
    )


def operations_of(parts: Part) -> Sequence[Operation]:
    """The rows that a gateway of these parts serves."""
    writing = ingest_routes.ROUTES if parts != "api" else ()
    reading = api_routes.ROUTES if parts != "ingest" else ()
    return (*writing, *reading, *session_routes.ROUTES)


async def _start(
    settings: Settings,
    parts: Part,
    identifier_key: bytes,
    stack: AsyncExitStack,
    ports: dict[type[Any], Any],
    checks: dict[str, Check],
) -> None:
    pool, store, client = await asyncio.gather(
        create_pool(settings.postgres_dsn, deadline_s=START_LIMIT_S),
        stack.enter_async_context(open_store(settings.s3)),
        _client(settings, stack, "gateway"),
    )
    stack.push_async_callback(pool.close)
    reads = Readers(pool, READERS_OF_BOTH_PARTS)
    stack.push_async_callback(reads.close)
    checks["postgres"] = partial(_postgres_answers, pool)
    checks["kafka"] = partial(_kafka_answers, client)
    shared = _Shared(
        settings=settings,
        identifier_key=identifier_key,
        client=client,
        pool=pool,
        reads=reads,
        store=store,
        last_positions=LastPositions(),
        keys=await _start_keys(settings, reads, stack),
        catalogue=load_catalogue(settings),
        appender=CommandAppender(client, COMMANDS),
    )
    stack.push_async_callback(shared.appender.close)
    if parts != "api":
        ports[Intake] = await _start_ingest(shared, stack, checks)
        ports[Logins] = await stack.enter_async_context(open_logins(settings, identifier_key))
    if parts != "ingest":
        ports[ApiPorts] = await _start_api(shared, stack)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What both parts use."""

    settings: Settings
    identifier_key: bytes
    client: AIOKafkaClient
    pool: asyncpg.Pool
    reads: Readers
    store: ObjectStore
    last_positions: LastPositions
    keys: KeyRing
    catalogue: Catalogue
    appender: CommandAppender


async def _start_keys(settings: Settings, reads: Readers, stack: AsyncExitStack) -> KeyRing:
    reader = KafkaLogReader(await _client(settings, stack, "gateway-keys"))
    keys = TopicKeyStore(settings, reader, PostgresKeyTable(reads))
    stack.push_async_callback(keys.stop)
    await keys.start(START_LIMIT_S)
    return StoredKeyRing(keys, read_secret(settings.secrets_dir, "wrapping.key"), SystemIds())


async def _start_api(shared: _Shared, stack: AsyncExitStack) -> ApiPorts:
    settings = shared.settings
    views = open_views(shared.appender, SystemClock(), SystemIds(), settings.partitions)
    opened = open_api(
        settings,
        shared.pool,
        KafkaLogReader(await _client(settings, stack, "gateway-ends")),
        last_positions=shared.last_positions,
        keys=shared.keys,
        objects=shared.store,
        catalogue=shared.catalogue,
        clock=SystemClock(),
        views=await stack.enter_async_context(views),
    )
    return await stack.enter_async_context(opened)


async def _start_ingest(shared: _Shared, stack: AsyncExitStack, checks: dict[str, Check]) -> Intake:
    settings = shared.settings
    following = await _client(settings, stack, "gateway-replies")
    ids = SystemIds()
    waiters = Waiters(
        ids.mint("gw"),
        behind_after_s=settings.gateway.behind_after_ms / 1000,
        behind_waiting_min=settings.gateway.behind_waiting_min,
    )
    replies = LogReplyReader(KafkaFollower(following, REPLIES, settings.partitions), waiters)
    checks["replies"] = partial(_is_ready, replies)
    following_task = asyncio.create_task(replies.run(), name="follow replies")
    stack.push_async_callback(_cancelled, following_task)
    async with asyncio.timeout(START_LIMIT_S):
        while not replies.is_ready:
            await asyncio.sleep(0.02)
    return Intake(
        IngestPorts(
            appender=shared.appender,
            waiters=waiters,
            read_side=PostgresReadSide(shared.reads),
            keys=shared.keys,
            objects=shared.store,
            catalogue=shared.catalogue,
            clock=SystemClock(),
            ids=ids,
            last_positions=shared.last_positions,
            identifier_key=shared.identifier_key,
            partitions=settings.partitions,
            base_url=settings.gateway.base_url,
            remote=GuardedFetcher(load_remote_settings().allow),
            links=open_links(settings, SystemClock()),
            plan=load_plan(settings),
        )
    )


async def _client(settings: Settings, stack: AsyncExitStack, name: str) -> AIOKafkaClient:
    client = await start_client(settings.kafka, client_id=f"{settings.deployment}.{name}", deadline_s=START_LIMIT_S)
    stack.push_async_callback(client.close)
    return client


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _postgres_answers(pool: asyncpg.Pool) -> bool:
    return bool(await pool.fetchval("SELECT true"))


async def _kafka_answers(client: AIOKafkaClient) -> bool:
    return bool(await client.force_metadata_update())


async def _is_ready(replies: LogReplyReader) -> bool:
    return replies.is_ready


def _version() -> str:
    try:
        return version("darkroom")
    except PackageNotFoundError:
        return "0"
