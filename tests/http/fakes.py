"""The writing side over ports in memory, with a decider that answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import CollectorRegistry

from infra.clock import ManualClock
from infra.http import session_routes
from infra.http.addresses import AddressHasher
from infra.http.application import build_application
from infra.http.audit import AccessTrail
from infra.http.auth import BearerGate
from infra.http.did import DidVerifier
from infra.http.doors import Doors, Gates
from infra.http.last_positions import LastPositions
from infra.http.limits import Limiter, LimitSettings
from infra.http.media_links import MediaLinks
from infra.http.pressure import LoopPressure
from infra.http.session_log import LogSessions
from infra.http.session_routes import SessionPorts
from infra.http.sessions import Authenticator, SessionTable
from infra.http.signing import Signer
from infra.http.signing_keys import KeyFolder
from infra.http.tokens import TokenVerifier, sign_token
from infra.ids import SeededIds
from infra.kafka.memory import MemoryLog, MemoryRecords
from infra.kafka.ports import Appended
from infra.plans import load_plan
from infra.s3.memory import MemoryObjectStore
from infra.sealing.cipher import new_secret
from infra.sealing.keys import MemoryKeyStore, StoredKeyRing
from infra.settings import Settings
from ingest import routes
from ingest.intake import Intake
from ingest.ports import IngestPorts, MemoryReadSide
from ingest.replies import Waiters
from schemas.accesses import AccessRecord, decode_accesses
from schemas.catalogue import parse_catalogue
from schemas.commands import Envelope, GrantCredits, RegisterAsset, SubmitJob, decode_command
from schemas.identifiers import account_id
from schemas.replies import AnyAnswer, AssetAccepted, BalanceChanged, JobCancelAccepted, JobDecided, Reply
from schemas.topics import ACCESSES, SESSIONS

DEPLOYMENT = "test"
IDENTIFIER_KEY = b"i" * 32
NOW_MS = 1_800_000_000_000
CATALOGUE = parse_catalogue((Path(__file__).parents[2] / "infra" / "catalogue.toml").read_bytes())
Script = Callable[[Envelope], Sequence[AnyAnswer]]


def accepts(envelope: Envelope) -> Sequence[AnyAnswer]:
    """The answers of a decider that accepts everything."""
    match envelope.command:
        case SubmitJob() as command:
            return [JobDecided(command.job, "accepted", 1, 99)]
        case RegisterAsset() as command:
            return [AssetAccepted(command.asset, 1, command.object)]
        case GrantCredits() as command:
            return [BalanceChanged(100 + command.amount)]
        case command:
            return [JobCancelAccepted(getattr(command, "job", ""), 100)]


class ScriptedDecider:
    """An `Appender` whose commands are answered at once by the script; `fault` is raised instead of appending."""

    def __init__(self, waiters: Waiters) -> None:
        self.waiters = waiters
        self.script: Script = accepts
        self.fault: Exception | None = None
        self.envelopes: list[Envelope] = []
        self.partitions: list[int] = []

    async def append(self, partition: int, item: bytes) -> Appended:
        if self.fault is not None:
            raise self.fault
        envelope = decode_command(item)
        offset = len(self.envelopes)
        self.envelopes.append(envelope)
        self.partitions.append(partition)
        for answer in self.script(envelope) if envelope.reply is not None else ():
            assert envelope.reply is not None
            reply = Reply(envelope.reply.correlation, envelope.account, f"{partition}.{offset}.0.0", answer)
            self.waiters.deliver(reply)
        return Appended(offset, 0, NOW_MS)

    async def append_many(self, partition: int, items: Sequence[bytes]) -> list[Appended]:
        return [await self.append(partition, item) for item in items]


@dataclass
class Side:
    """Everything that a test looks at."""

    http: httpx.AsyncClient
    decider: ScriptedDecider
    read_side: MemoryReadSide
    objects: MemoryObjectStore
    key_store: MemoryKeyStore
    ring: StoredKeyRing
    positions: LastPositions
    clock: ManualClock
    keys: KeyFolder
    records: MemoryRecords
    log: MemoryLog
    trail: AccessTrail
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    ports: dict[type[Any], Any] = field(default_factory=dict)

    def token(self, subject: str = "ada", *, product: str = "darkroom", role: str = "user") -> str:
        return sign_token(self.keys, DEPLOYMENT, product, subject, now_s=NOW_MS // 1000, ttl_s=3600, role=role)

    async def submit(self, body: object, **headers: str) -> httpx.Response:
        """POST /v1/jobs; header names have underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post("/v1/jobs", json=body, headers=named)

    async def upload(self, content: bytes, name: str = "a.png", **headers: str) -> httpx.Response:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await self.http.post("/v1/assets", files={"file": (name, content)}, headers=named)

    async def accesses(self) -> list[AccessRecord]:
        """What the trail has put on the log, once it has appended what it noted."""
        assert await self.trail.flush(self.records)
        return [
            decode_accesses(record.value or b"")
            for partition in range(8)
            async for batch in self.log.read(ACCESSES, partition, 0)
            for record in batch
        ]

    def account(self, subject: str = "ada") -> str:
        return account_id(IDENTIFIER_KEY, "darkroom", subject)


def make_keys(folder: Path, kid: str = "k1") -> KeyFolder:
    """A folder with one signing key."""
    folder.mkdir(exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{kid}.pem").write_bytes(pem)
    return KeyFolder(folder)


def make_side(root: Path, *, limits: LimitSettings | None = None, **changed: Any) -> Side:
    """The application; `changed` replaces fields of `IngestPorts`."""
    clock, ids, waiters = ManualClock(NOW_MS), SeededIds(7), Waiters("gw_test")
    keys = make_keys(root / "jwt")
    decider, read_side, objects = ScriptedDecider(waiters), MemoryReadSide(), MemoryObjectStore()
    key_store, positions, registry = MemoryKeyStore(), LastPositions(), CollectorRegistry()
    ring = StoredKeyRing(key_store, new_secret(), ids)
    ports = IngestPorts(
        appender=decider,
        waiters=waiters,
        read_side=read_side,
        keys=ring,
        objects=objects,
        catalogue=CATALOGUE,
        clock=clock,
        ids=ids,
        last_positions=positions,
        identifier_key=IDENTIFIER_KEY,
        partitions=8,
        base_url="http://darkroom.test",
        links=MediaLinks("http://darkroom.test", Signer(b"s" * 32), clock),
        plan=load_plan(Settings(deployment=DEPLOYMENT)),
        decision_wait_s=0.2,
        ask_read_side_after_s=0.01,
        catch_up_wait_s=0.05,
    )
    ports = replace(ports, **changed)
    verifier = TokenVerifier(keys, IDENTIFIER_KEY, DEPLOYMENT, lambda: clock.now_ms() / 1000)
    table, log = SessionTable(), MemoryLog(clock, {SESSIONS: 1, ACCESSES: 8})
    trail = AccessTrail(clock, ids, AddressHasher(b"a" * 32), 8, registry=registry)
    records = MemoryRecords(log)
    sessions = LogSessions(table, log, records, clock)
    did = DidVerifier(IDENTIFIER_KEY, DEPLOYMENT, "pix-loom", lambda: clock.now_ms() / 1000)
    authenticator = Authenticator(verifier, table, clock, did)
    limiter, hasher = Limiter(limits or LimitSettings(), lambda: clock.now_ms() / 1000), AddressHasher(b"a" * 32)
    native = BearerGate(authenticator, limiter, hasher)
    gate = Gates(
        native, Doors(authenticator, limiter, hasher, IDENTIFIER_KEY, ["http://darkroom.test"]), LoopPressure(60.0)
    )
    rows = (*routes.ROUTES, *session_routes.ROUTES)
    made_ports: dict[type[Any], Any] = {Intake: Intake(ports), SessionPorts: SessionPorts(sessions, clock)}
    app = build_application(rows, gate, made_ports, trail=trail, registry=registry)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://darkroom.test", timeout=10)
    side = Side(
        *(http, decider, read_side, objects, key_store, ring, positions, clock, keys, records, log, trail),
        *(registry, made_ports),
    )
    http.headers["Authorization"] = f"Bearer {side.token()}"
    return side


def stored_keys(objects: MemoryObjectStore) -> list[str]:
    """The keys of all objects."""
    return sorted(objects._objects)


def decoded(answer: httpx.Response) -> dict[str, Any]:
    """The JSON of an answer."""
    content: dict[str, Any] = msgspec.json.decode(answer.content)
    return content
