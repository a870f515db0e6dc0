"""What a gateway reads and notes beside commands: sessions, which its gate asks, and the trail of accesses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import REGISTRY, CollectorRegistry

from infra.clock import SystemClock
from infra.http.addresses import SECRET, AddressHasher
from infra.http.audit import AccessTrail
from infra.http.did import DidVerifier
from infra.http.session_log import LogSessions
from infra.http.session_routes import SessionPorts
from infra.http.sessions import Authenticator, SessionTable
from infra.http.signing_keys import KeyFolder
from infra.http.tokens import TokenVerifier, read_secret
from infra.ids import SystemIds
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.kafka.records import KafkaRecords
from infra.settings import Settings


class GatewayLog:
    """One per gateway process. The gate and the trail are there before the connections are."""

    def __init__(
        self,
        settings: Settings,
        identifier_key: bytes,
        registry: CollectorRegistry = REGISTRY,
        *,
        did_product: str | None = None,
    ) -> None:
        """`did_product` is whose document takes DIDs' own tokens. Raises OperatorError where a secret is missing."""
        self._settings, self._clock, self._table = settings, SystemClock(), SessionTable()
        verifier = TokenVerifier(KeyFolder(settings.secrets_dir / "jwt"), identifier_key, settings.deployment)
        did = None if did_product is None else DidVerifier(identifier_key, settings.deployment, did_product)
        self.authenticator = Authenticator(verifier, self._table, self._clock, did)
        self.addresses = AddressHasher(read_secret(settings.secrets_dir, SECRET))
        self.trail = AccessTrail(self._clock, SystemIds(), self.addresses, settings.partitions, registry=registry)
        self._sessions: LogSessions | None = None

    @asynccontextmanager
    async def open(self, deadline_s: float) -> AsyncIterator[SessionPorts]:
        """Connected; every revocation on the log is known. At the end what was noted is appended.

        Raises BrokersUnreachable, ReadFault and TimeoutError.
        """
        kafka, name = self._settings.kafka, f"{self._settings.deployment}.gateway"
        clients = [await start_client(kafka, client_id=f"{name}-sessions", deadline_s=deadline_s)]
        try:
            clients.append(await start_client(kafka, client_id=f"{name}-notes", deadline_s=deadline_s))
            reader, records = KafkaLogReader(clients[0]), KafkaRecords(clients[1])
            sessions = LogSessions(self._table, reader, records, self._clock)
            async with asyncio.timeout(deadline_s):
                await sessions.start()
            self._sessions = sessions
            trailing = asyncio.create_task(self.trail.run(records), name="append accesses")
            try:
                yield SessionPorts(sessions, self._clock)
            finally:
                await _ended([trailing])
                await asyncio.gather(sessions.stop(), self.trail.flush(records))
        finally:
            await asyncio.gather(*(client.close() for client in clients))

    async def is_current(self) -> bool:
        """Whether revocations are being followed; for the readiness check."""
        return self._sessions is not None and self._sessions.is_current


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
