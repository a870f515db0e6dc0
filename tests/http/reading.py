"""The reading side over a real PostgreSQL that the projector's own code has filled from events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
from prometheus_client import CollectorRegistry

from api import routes
from api.archive_queries import ArchiveQueries
from api.audit_queries import AuditQueries
from api.consistency import Consistency
from api.ports import ApiPorts
from api.queries import Queries
from api.reached import Reached
from infra.clock import ManualClock
from infra.http.addresses import AddressHasher
from infra.http.application import build_application
from infra.http.auth import BearerGate
from infra.http.doors import Doors, Gates
from infra.http.last_positions import LastPositions
from infra.http.limits import Limiter, LimitSettings
from infra.http.media_links import MediaLinks
from infra.http.pressure import LoopPressure
from infra.http.sessions import Authenticator, SessionTable
from infra.http.signing import Signer
from infra.http.signing_keys import KeyFolder
from infra.http.tokens import TokenVerifier, sign_token
from infra.ids import SeededIds
from infra.kafka.ports import Record
from infra.postgres.pool import create_pool
from infra.postgres.readers import Readers
from infra.s3.memory import MemoryObjectStore
from infra.sealing.cipher import new_secret
from infra.sealing.keys import MemoryKeyStore, StoredKeyRing
from infra.settings import Settings
from infra.views import MemoryViews
from projections.archive import PostgresArchive
from projections.intake import Intake
from projections.ports import Move, Tracked
from projections.postgres import PostgresReadModels
from schemas import events as ev
from schemas.commands import StoredObject
from schemas.events import encode_event
from schemas.identifiers import account_id, partition_of, partition_stream
from schemas.plans import AccountTerms, Plan, RegenerationTerms, WindowTerms
from tests.databases import lent_database
from tests.http.fakes import CATALOGUE, DEPLOYMENT, IDENTIFIER_KEY, NOW_MS, make_keys

PARTITIONS = 8
BASE_URL = "http://darkroom.test"
PLAN = Plan(
    version=1,
    products={
        "darkroom": {"default": AccountTerms()},
        "spike-land": {
            "default": AccountTerms(
                opening_credits=100, regeneration=RegenerationTerms(units=1, every_ms=900_000, cap=100)
            )
        },
        "studio": {"default": AccountTerms(uses_balance=False, windows=(WindowTerms("day", 50),))},
    },
    models={},
)


class Log:
    """Writes commands' events and applies them as the projector does; `LogEnd` of what was written."""

    def __init__(self, dsn: str, reached: Reached) -> None:
        self._store, self.reached = PostgresReadModels(dsn), reached
        shares = range(PARTITIONS)
        generations = self._store.generations()
        self._intake = Intake(generations, shares, self._store.positions(Intake.names(generations, shares)))
        self._records: dict[int, list[Record]] = {p: [] for p in shares}
        self._applied = dict.fromkeys(shares, 0)
        self._archive = PostgresArchive(dsn)
        generation = self._archive.generation()
        self._archived = {p: f"archive.{generation}.{p}" for p in shares}
        self._archive.positions(list(self._archived.values()))
        self._commands = dict.fromkeys(shares, 0)
        self._versions: dict[str, int] = {}
        self.asked = 0

    def write(self, account: str, *data: ev.AnyEvent, product: str = "darkroom", time_ms: int = NOW_MS) -> str:
        """One command's events; the command's position. Nothing is applied yet."""
        is_stream = account.startswith("partition-")
        partition = int(account.removeprefix("partition-")) if is_stream else partition_of(account, PARTITIONS)
        offset = self._commands[partition]
        self._commands[partition] += 1
        records = self._records[partition]
        for ordinal, item in enumerate(data):
            version = self._versions[account] = self._versions.get(account, 0) + 1
            position, last = f"{partition}.{offset}.0.{ordinal}", ordinal == len(data) - 1
            event = ev.Event(position, account, product, version, time_ms, "cmd", "user", item, last=last)
            records.append(Record(len(records), time_ms, account.encode(), encode_event(event)))
        return f"{partition}.{offset}.0.0"

    def apply(self) -> None:
        """Bring the read models to the end of the log, and tell the readers."""
        fresh = {p: records[self._applied[p] :] for p, records in self._records.items()}
        self._applied = {p: len(records) for p, records in self._records.items()}
        self._store_away({p: part for p, part in fresh.items() if part})
        work = self._intake.take_events(fresh)
        if work is not None:
            assert self._store.apply(work.moves, work.rows, work.reached) == []
            for position in work.reached:
                self.reached.note(position)

    def _store_away(self, fresh: Mapping[int, Sequence[Record]]) -> None:
        moves = [
            Move(
                self._archived[p],
                part[0].offset - 1,
                Tracked(part[-1].offset, *self._archive.source_of(part[-1])),
            )
            for p, part in fresh.items()
        ]
        if moves:
            self._archive.write(moves, fresh)

    def say(self, account: str, *data: ev.AnyEvent, product: str = "darkroom", time_ms: int = NOW_MS) -> str:
        """Write and apply."""
        position = self.write(account, *data, product=product, time_ms=time_ms)
        self.apply()
        return position

    async def last_command(self, partition: int) -> tuple[int, int] | None:
        """See `api.log_end.LogEnd`."""
        self.asked += 1
        count = self._commands[partition]
        return (count - 1, 0) if count else None

    def close(self) -> None:
        self._store.close()
        self._archive.close()


@dataclass
class Reading:
    """Everything that a test looks at."""

    http: httpx.AsyncClient
    log: Log
    objects: MemoryObjectStore
    key_store: MemoryKeyStore
    ring: StoredKeyRing
    positions: LastPositions
    clock: ManualClock
    keys: KeyFolder
    pool: asyncpg.Pool
    readers: Readers
    views: MemoryViews
    dsn: str

    def admin(self) -> dict[str, str]:
        """The headers of an operator."""
        now_s = NOW_MS // 1000
        token = sign_token(self.keys, DEPLOYMENT, "darkroom", "root", now_s=now_s, ttl_s=10**6, role="admin")
        return {"authorization": f"Bearer {token}"}

    def account(self, subject: str = "ada", product: str = "darkroom") -> str:
        return account_id(IDENTIFIER_KEY, product, subject)

    def bearer(self, subject: str = "ada", product: str = "darkroom") -> dict[str, str]:
        now_s = NOW_MS // 1000
        token = sign_token(self.keys, DEPLOYMENT, product, subject, now_s=now_s, ttl_s=10**6)
        return {"authorization": f"Bearer {token}"}

    async def get(
        self, path: str, subject: str = "ada", product: str = "darkroom", params: Mapping[str, Any] = {}, **headers: str
    ) -> httpx.Response:
        """GET with the subject's token; header names have underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(path, params=dict(params), headers={**self.bearer(subject, product), **named})


@asynccontextmanager
async def open_reading(settings: Settings, root: Path, wait_s: float = 0.3) -> AsyncIterator[Reading]:
    """The application over an empty database of the settings' server, with a plan in force everywhere."""
    with lent_database(settings) as dsn:
        async with _opened(dsn, root, wait_s) as reading:
            yield reading


@asynccontextmanager
async def _opened(dsn: str, root: Path, wait_s: float) -> AsyncIterator[Reading]:
    clock, keys, reached, positions = ManualClock(NOW_MS), make_keys(root / "jwt"), Reached(), LastPositions()
    objects, key_store = MemoryObjectStore(), MemoryKeyStore()
    ring = StoredKeyRing(key_store, new_secret(), SeededIds(3))
    log, views = Log(dsn, reached), MemoryViews()
    for partition in range(PARTITIONS):
        log.write(partition_stream(partition), ev.PlanPublished(PLAN), product="")
    log.apply()
    pool = await create_pool(dsn, connections_max=4)
    readers = Readers(pool, 3)
    ports = ApiPorts(
        queries=Queries(readers),
        archive=ArchiveQueries(readers, wait_s),
        audit=AuditQueries(readers),
        consistency=Consistency(reached, log, positions, PARTITIONS, wait_s),
        keys=ring,
        objects=objects,
        catalogue=CATALOGUE,
        clock=clock,
        signer=Signer(b"s" * 32),
        links=MediaLinks(BASE_URL, Signer(b"s" * 32), clock),
        identifier_key=IDENTIFIER_KEY,
        views=views,
        partitions=PARTITIONS,
        deployment=DEPLOYMENT,
        base_url=BASE_URL,
    )
    verifier = TokenVerifier(keys, IDENTIFIER_KEY, DEPLOYMENT, now_s=lambda: NOW_MS / 1000)
    authenticator, limiter, hasher = (
        Authenticator(verifier, SessionTable(), clock),
        Limiter(LimitSettings()),
        AddressHasher(b"a" * 32),
    )
    doors = Doors(authenticator, limiter, hasher, IDENTIFIER_KEY, [BASE_URL])
    gate = Gates(BearerGate(authenticator, limiter, hasher), doors, LoopPressure(60.0))
    app = build_application(routes.ROUTES, gate, {ApiPorts: ports}, registry=CollectorRegistry())
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as http:
        yield Reading(http, log, objects, key_store, ring, positions, clock, keys, pool, readers, views, dsn)
    await readers.close()
    await pool.close()
    log.close()


def accepted(job: str, *, sealed: str | None = None, model: str = "classical/upscale") -> ev.JobAccepted:
    """The acceptance of a job that costs 1."""
    return ev.JobAccepted(
        job, model, "classical_upscale", "1", "standard", {"scale": 2}, "asset_in", sealed, 1, "default", 1, 3, 120_000,
        8, 0, NOW_MS, None, 9, None, None,
    )  # fmt: skip


def opening(credits: int = 10) -> Sequence[ev.AnyEvent]:
    """An account's first events."""
    return (ev.AccountOpened("default", 1, None), ev.CreditsGranted(credits, "gift", credits, None))


def stored(key: str, content: bytes, sha256: str) -> StoredObject:
    """The description of a PNG."""
    return StoredObject(key, len(content), sha256, "png", 64, 48)


def document(answer: httpx.Response) -> Any:
    """The JSON of an answer."""
    return msgspec.json.decode(answer.content)
