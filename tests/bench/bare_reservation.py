"""The bare component for reservations: what a team would build without an event log, and build with care.

``python -m tests.bench.bare_reservation serve DSN PORT SECRETS DEPLOYMENT on|off``: Starlette on one uvicorn worker
(uvloop, httptools), a pool of asyncpg connections with prepared statements and nothing to reset. A request is one
transaction: the idempotency key (unique, its answer kept), the balance and the day's quota under ``FOR UPDATE``, the
job, the outbox, commit; then 202. Tokens are verified by Darkroom's own verifier, with its cache, so that this work is
the same. ``on|off`` is `synchronous_commit`: on, a commit waits until the disk has it, which outlives a power cut, and
Darkroom's acks=all on brokers that do not flush does not; off, not even PostgreSQL's own death is outlived, and
acknowledged commands of Darkroom outlive Kafka's. Nothing lies as near to ours as one of the two.

``python -m tests.bench.bare_reservation relay DSN BOOTSTRAP``: takes rows of the outbox in batches (``SKIP LOCKED``),
sends them to Kafka (acks=all), deletes them, and commits.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import uvloop
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.http.signing_keys import KeyFolder
from infra.http.tokens import TokenInvalid, TokenVerifier, read_secret
from infra.ids import SystemIds
from tests.bench.bare_http import serve

TOPIC = "bench-outbox"
COST = 1
SCHEMA = "bench_reservation"
_CONNECTIONS = 16
_BATCH = 500
_PAUSE_S = 0.01
_QUOTA = 10_000_000
_TABLES = f"""
CREATE SCHEMA {SCHEMA};
SET search_path TO {SCHEMA};
CREATE TABLE accounts (
    id text PRIMARY KEY, balance bigint NOT NULL, reserved bigint NOT NULL, quota_day date, quota_used int NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE idempotency (
    account text, key text, fingerprint bytea NOT NULL, answer bytea, made timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, key)
) WITH (fillfactor = 70);
CREATE TABLE jobs (
    id text PRIMARY KEY, account text NOT NULL, model text NOT NULL, content jsonb NOT NULL, status text NOT NULL,
    cost bigint NOT NULL, made timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text NOT NULL, event bytea NOT NULL);
"""
_KEY = "INSERT INTO idempotency (account, key, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true"
_KNOWN = "SELECT fingerprint, answer FROM idempotency WHERE account = $1 AND key = $2"
_STANDING = "SELECT balance, quota_day, quota_used FROM accounts WHERE id = $1 FOR UPDATE"
_RESERVE = """
UPDATE accounts SET balance = balance - $2, reserved = reserved + $2, quota_day = $3, quota_used = $4 WHERE id = $1
"""
_JOB = "INSERT INTO jobs (id, account, model, content, status, cost) VALUES ($1, $2, $3, $4, 'accepted', $5)"
_OUTBOX = "INSERT INTO outbox (account, event) VALUES ($1, $2)"
_ANSWER = "UPDATE idempotency SET answer = $3 WHERE account = $1 AND key = $2"
_TAKE = """
DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, account, event
"""
_COUNTS = """
SELECT (SELECT count(*) FROM jobs) AS jobs, (SELECT sum(reserved) FROM accounts)::bigint AS reserved,
       (SELECT count(*) FROM idempotency WHERE answer IS NOT NULL) AS answers, (SELECT count(*) FROM outbox) AS unsent
"""


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The job that is asked for."""

    model: str
    params: dict[str, Any] = {}
    metadata: dict[str, Any] | None = None


class Refused(Exception):
    """A status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Reservations:
    """The handler's work on a pool."""

    def __init__(self, pool: asyncpg.Pool, verifier: TokenVerifier) -> None:
        self._pool, self._verifier, self._ids = pool, verifier, SystemIds()

    async def submit(self, request: Request) -> bytes:
        """The answer to a submit. Raises Refused."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(401, "no token")
        try:
            account = self._verifier.verify(token).account
        except TokenInvalid as error:
            raise Refused(401, str(error)) from error
        content = await request.body()
        try:
            body = msgspec.json.decode(content, type=Body)
        except msgspec.DecodeError as error:
            raise Refused(400, str(error)) from error
        key = request.headers.get("idempotency-key") or self._ids.mint("key")
        return await self._reserved(account, key, sha256(content).digest(), body)

    async def _reserved(self, account: str, key: str, fingerprint: bytes, body: Body) -> bytes:
        content = msgspec.json.encode(body)
        today = datetime.now(UTC).date()
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(_KEY, account, key, fingerprint) is None:
                known = await connection.fetchrow(_KNOWN, account, key)
                if known is None or known["fingerprint"] != fingerprint:
                    raise Refused(422, "the key was used for another request")
                return bytes(known["answer"])
            standing = await connection.fetchrow(_STANDING, account)
            if standing is None or standing["balance"] < COST:
                raise Refused(402, "not enough credits")
            used = standing["quota_used"] if standing["quota_day"] == today else 0
            if used >= _QUOTA:
                raise Refused(429, "the day's quota is used up")
            job, balance = self._ids.mint("job"), standing["balance"] - COST
            document = {"id": job, "status": "accepted", "cost": COST, "balance": balance, "model": body.model}
            answer = msgspec.json.encode(document)
            event = msgspec.json.encode({"type": "job-accepted", "account": account, **document, "content": body})
            await connection.execute(_RESERVE, account, COST, today, used + 1)
            await connection.execute(_JOB, job, account, body.model, content.decode(), COST)
            await connection.execute(_OUTBOX, account, event)
            await connection.execute(_ANSWER, account, key, answer)
        return answer


def application(dsn: str, verifier: TokenVerifier, commit: str) -> Starlette:
    """The handler, with a pool for the life of the process."""
    made: list[Reservations] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        session = {"search_path": SCHEMA, "synchronous_commit": commit}
        pool = await asyncpg.create_pool(
            dsn, min_size=_CONNECTIONS, max_size=_CONNECTIONS, server_settings=session, reset=_keep
        )
        async with pool:
            made.append(Reservations(pool, verifier))
            yield

    async def submit(request: Request) -> Response:
        try:
            return Response(await made[0].submit(request), status_code=202, media_type="application/json")
        except Refused as refused:
            content = msgspec.json.encode({"status": refused.status, "detail": refused.reason})
            return Response(content, status_code=refused.status, media_type="application/problem+json")

    async def healthy(_: Request) -> Response:
        return Response(b"ok")

    routes = [Route("/v1/jobs", submit, methods=["POST"]), Route("/healthz", healthy)]
    return Starlette(routes=routes, lifespan=lifespan)


async def relay(dsn: str, bootstrap_servers: str) -> None:
    """Send what stands in the outbox, on and on."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", linger_ms=0)
    connection = await asyncpg.connect(dsn, server_settings={"search_path": SCHEMA, "synchronous_commit": "on"})
    async with producer:
        while True:
            async with connection.transaction():
                rows = await connection.fetch(_TAKE, _BATCH)
                rows.sort(key=lambda row: row["id"])
                sent = [await producer.send(TOPIC, row["event"], key=row["account"].encode()) for row in rows]
                await asyncio.gather(*sent)
            if len(rows) < _BATCH:
                await asyncio.sleep(_PAUSE_S)


async def make_tables(dsn: str, accounts: Sequence[str], balance: int) -> None:
    """The tables, and accounts with that much to spend."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_TABLES)
        rows = [(account, balance) for account in accounts]
        await connection.executemany("INSERT INTO accounts VALUES ($1, $2, 0, NULL, 0)", rows)
    finally:
        await connection.close()


async def counts(dsn: str) -> dict[str, int]:
    """How many `jobs` and kept `answers` there are, the sum of what is `reserved`, and what is `unsent`."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": SCHEMA})
    try:
        return dict(await connection.fetchrow(_COUNTS))
    finally:
        await connection.close()


async def all_sent(dsn: str, limit_s: float = 30.0) -> None:
    """Return when the outbox is empty. Raises TimeoutError."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": SCHEMA})
    try:
        async with asyncio.timeout(limit_s):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
                await asyncio.sleep(_PAUSE_S)
    finally:
        await connection.close()


def verifier_of(secrets: Path, deployment: str) -> TokenVerifier:
    """Knows whose account a token of the deployment is."""
    return TokenVerifier(KeyFolder(secrets / "jwt"), read_secret(secrets, "identifier.key"), deployment)


async def _keep(_: asyncpg.Connection) -> None:
    """Nothing to reset: a transaction leaves nothing behind. Saves a round trip a request."""


def main() -> None:
    """Serve or relay until ended."""
    kind, dsn, *rest = sys.argv[1:]
    if kind == "relay":
        uvloop.run(relay(dsn, rest[0]))
        return
    port, secrets, deployment, commit = int(rest[0]), Path(rest[1]), rest[2], rest[3]
    serve(application(dsn, verifier_of(secrets, deployment), commit), port)


if __name__ == "__main__":
    main()
