"""One story told through each contract: a picture is wanted, once, and asked for again under the same key."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.http.signing_keys import KeyFolder
from infra.http.tokens import TokenVerifier, read_secret
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.local.layout import Layout
from infra.local.stack import settings_of
from schemas.codec import unpack_items
from schemas.commands import decode_command
from schemas.identifiers import partition_of
from schemas.topics import COMMANDS
from tests.pictures import encoded, scene
from tests.stack import Stack

Tell = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]
PICTURE = encoded(scene(96, 64))


@dataclass(frozen=True)
class Contract:
    """How a contract's client tells the story; `price` is what its document says that one picture costs."""

    document: str
    product: str
    tell: Tell
    price: int
    grant: int = 0
    workspace: bool = False
    headers: dict[str, str] = field(default_factory=dict)


async def _ai_image(http: httpx.AsyncClient, key: str) -> httpx.Response:
    files = {"image": ("a.jpg", PICTURE, "image/jpeg")}
    form = {"model": "real-esrgan", "scale": "2"}
    return await http.post("/api/ai-image/generate", data=form, files=files, headers={"Idempotency-Key": key})


async def _pix_loom(http: httpx.AsyncClient, key: str) -> httpx.Response:
    body = {"operationType": "enhancement"}
    return await http.post("/api/ai/generate", json=body, headers={"Idempotency-Key": key})


async def _spike_land(http: httpx.AsyncClient, key: str) -> httpx.Response:
    uploaded = await http.post(
        "/api/images/upload", files={"file": ("a.jpg", PICTURE)}, headers={"Idempotency-Key": "up"}
    )
    body = {"imageId": uploaded.json()["image"]["id"], "tier": "TIER_1K"}
    return await http.post("/api/images/enhance", json=body, headers={"Idempotency-Key": key, "Prefer": "wait=60"})


async def _workspace_images(http: httpx.AsyncClient, key: str) -> httpx.Response:
    body = {"prompt": "a lake at dawn", "model": "dall-e-2", "provider": "openai", "size": "256x256"}
    return await http.post("/api/ai/images", json=body, headers={"Idempotency-Key": key})


async def _studio(http: httpx.AsyncClient, key: str) -> httpx.Response:
    form = {"prompt": (None, "a lake at dawn"), "model": (None, "flux")}
    return await http.post("/api/generate", files=form, headers={"Idempotency-Key": key})


CONTRACTS = (
    Contract("000", "ai-image", _ai_image, price=0),
    Contract("001", "pix-loom", _pix_loom, price=1),
    Contract("002", "spike-land", _spike_land, price=2),
    Contract("003", "workspace-images", _workspace_images, price=3, grant=10, workspace=True),
    Contract("004", "studio", _studio, price=0),
)


@dataclass(frozen=True)
class Told:
    """What the story left behind: the account's commands, events and lines of money, in order."""

    account: str
    commands: list[str]
    events: list[str]
    ledger: list[tuple[str, int]]
    answers: tuple[dict[str, Any], dict[str, Any]]


async def told_by(stack: Stack, contract: Contract, make: Callable[..., httpx.AsyncClient]) -> Told:
    """Tell the story and see what it left."""
    subject = f"story-{uuid.uuid4()}"
    workspace = str(uuid.uuid4()) if contract.workspace else None
    token = stack.token(subject, product=contract.product, workspace=workspace)
    if contract.grant:
        ran = stack.darkroom("grant", "--account", f"{contract.product}:{workspace or subject}", str(contract.grant))
        assert ran.returncode == 0, ran.stderr
    http = make(Authorization=f"Bearer {token}", **({"X_Workspace_Id": workspace} if workspace else {}))
    answers = []
    for _ in range(2):
        answer = await contract.tell(http, "the-same-key")
        assert answer.status_code == 200, f"{contract.product}: {answer.status_code} {answer.text}"
        answers.append(answer.json())
    account = _account_of(stack, token)
    events = stack.events(account)
    ledger = (await http.get("/v1/ledger", params={"sort": "created_at"})).json()["data"]
    commands = await _commands(stack, account)
    return Told(
        account,
        commands,
        [_kind(event["type"]) for event in events],
        [(line["kind"], line["amount"]) for line in ledger],
        (answers[0], answers[1]),
    )


def _kind(event_type: str) -> str:
    """`job-accepted` of `darkroom.job-accepted.v1`."""
    return event_type.split(".")[1]


def _account_of(stack: Stack, token: str) -> str:
    secrets = Layout(stack.data).secrets
    verifier = TokenVerifier(KeyFolder(secrets / "jwt"), read_secret(secrets, "identifier.key"), "local")
    return verifier.verify(token).account


async def _commands(stack: Stack, account: str) -> list[str]:
    """The kinds of the account's commands, as they stand on the log."""
    settings = settings_of(Layout(stack.data))
    client = await start_client(settings.kafka, client_id="one-core", deadline_s=30)
    try:
        found = []
        partition = partition_of(account, settings.partitions)
        async for batch in KafkaLogReader(client).read(COMMANDS, partition, 0):
            for record in batch:
                for item in unpack_items(record.value):
                    assert isinstance(item, bytes)
                    envelope = decode_command(item)
                    if envelope.account == account:
                        found.append(str(envelope.command.__struct_config__.tag))
        return found
    finally:
        await client.close()
