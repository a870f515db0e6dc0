"""The audit of a running stack, once and continuously: a true log passes, damage of every kind is found and shown."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka.client import AIOKafkaClient
from msgspec.structs import replace

from infra.cli.target import settings_for
from infra.kafka.alternating import owner_producers
from infra.kafka.client import start_client
from infra.kafka.ports import Outgoing
from infra.kafka.reader import KafkaLogReader
from infra.s3.bucket import open_store
from infra.settings import Settings
from processors.accounts.state import Queued, account_key, queued_key
from schemas import topics
from schemas.codec import encode_state
from schemas.events import CreditsGranted, decode_event, encode_event
from schemas.identifiers import partition_of
from tests.client import Client, ok
from tests.stack import Stack

LIMIT_S = 120.0
_SAMPLE = re.compile(r'^(\w+)\{(?:\w+)="([^"]*)".*\} (\S+)$', re.MULTILINE)
ROWS, STATE = "read-model-is-the-fold-of-the-log", "state-is-the-fold-of-events"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own: its log is damaged in the end."""
    made = Stack(tmp_path_factory.mktemp("audited") / "data")
    try:
        made.start()
        yield made
        made.stop()
    finally:
        made.kill()


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack) as client:
        assert await client.grant(20) == 20
        yield client


@asynccontextmanager
async def _kafka(stack: Stack) -> AsyncIterator[tuple[Settings, AIOKafkaClient]]:
    settings = settings_for(stack.data)
    client = await start_client(settings.kafka)
    try:
        yield settings, client
    finally:
        await client.close()


async def _metrics(stack: Stack) -> dict[tuple[str, str], float]:
    """(metric, first label) -> value, added up over the other labels."""
    endpoint = (await asyncio.to_thread(stack.status))["auditor-0"]["endpoint"]
    found: dict[tuple[str, str], float] = {}
    async with httpx.AsyncClient(timeout=30) as http:
        for name, label, value in _SAMPLE.findall((await http.get(f"{endpoint}/metrics")).text):
            found[name, label] = found.get((name, label), 0.0) + float(value)
    return found


async def _until(stack: Stack, shown: Callable[[dict[tuple[str, str], float]], bool]) -> dict[tuple[str, str], float]:
    async with asyncio.timeout(LIMIT_S):
        while not shown(found := await _metrics(stack)):
            await asyncio.sleep(0.3)
        return found


def _violations(found: dict[tuple[str, str], float]) -> dict[str, float]:
    return {law: count for (name, law), count in found.items() if name == "invariant_violations" and count}


async def _audit(stack: Stack, *options: str) -> dict[str, Any]:
    return await asyncio.to_thread(stack.audit, *options)


def _line(user: Client, kind: str, key: str, answer: httpx.Response, **more: str) -> str:
    position = answer.headers.get("darkroom-position")
    told = {"kind": kind, "user": user.subject, "key": key, "status": answer.status_code, "body": answer.json()}
    return json.dumps({**told, "position": position, **more}) + "\n"


async def test_everything_that_was_told_and_stored_is_there(stack: Stack, user: Client, tmp_path: Path) -> None:
    uploaded = await user.upload(key="picture")
    asset = ok(uploaded)["id"]
    submitted = await user.submit("classical/upscale", {"scale": 2}, asset=asset, key="order", prefer="wait=90")
    job = ok(submitted)
    assert job["status"] == "succeeded"
    read = await user.http.get(f"/v1/jobs/{job['id']}")
    lines = [
        _line(user, "upload", "picture", uploaded),
        _line(user, "submit", "order", submitted),
        _line(user, "read", "", read, about=job["id"], after=submitted.headers["darkroom-position"]),
    ]
    true, lie = tmp_path / "true.ndjson", tmp_path / "lie.ndjson"
    true.write_text("".join(lines))
    told = await _audit(stack, "--quiet-log", "--objects", "all", "--told", str(true), "--hash-seed", "7")
    assert told["violations"] == []
    assert told["told"] == {"answers": 3, "judged": 3}
    assert told["objects"]["hashed"] >= 2
    assert told["decided_again"] == told["events"]
    lie.write_text(lines[1].replace(job["id"], "job_" + "a" * 26))
    (found,) = (await _audit(stack, "--told", str(lie)))["violations"]
    assert found.startswith("what-was-told-stands-on-the-log for submit order of")


async def test_the_auditor_has_seen_all_and_finds_nothing(stack: Stack, user: Client) -> None:
    ok(await user.submit("sandbox/echo", prefer="wait=60"))
    events = len(await asyncio.to_thread(stack.events))
    found = await _until(stack, lambda seen: seen.get(("positions_behind", "auditor")) == 0)
    assert _violations(found) == {}
    assert {of for name, of in found if name == "positions_behind"} >= {"processors", "auditor", "jobs", "balances"}
    assert found["ledger_drift_units", "events"] == found["ledger_drift_units", "read-models"] == 0
    endpoint = (await asyncio.to_thread(stack.status))["auditor-0"]["endpoint"]
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{endpoint}/metrics")).text
    audited = re.search(r"^darkroom_audited_events_total (\S+)", text, re.MULTILINE)
    assert audited is not None
    assert float(audited[1]) >= events


async def test_a_damaged_row_raises_the_metrics_until_it_is_mended(stack: Stack, user: Client) -> None:
    ok(await user.submit("sandbox/echo", prefer="wait=60"))
    account = (await user.account())["account"]
    connection = await asyncpg.connect(settings_for(stack.data).postgres_dsn)
    try:
        await connection.execute("UPDATE accounts SET captured = captured - 3 WHERE account = $1", account)
        found = await _until(stack, lambda seen: seen["invariant_violations", ROWS] > 0)
        assert _violations(found) == {ROWS: 1}
        assert found["ledger_drift_units", "read-models"] == 3
        told = await _audit(stack)
        (line,) = told["violations"]
        assert line.startswith(f"{ROWS} in balances ({account})")
        assert any("credits-captured" in event for event in told["shown"][line])
        assert told["drift_units"] == 3
        await connection.execute("UPDATE accounts SET captured = captured + 3 WHERE account = $1", account)
        await _until(stack, lambda seen: not _violations(seen) and not seen["ledger_drift_units", "read-models"])
    finally:
        await connection.close()
    log = (stack.data / "logs" / "auditor-0.log").read_text()
    assert log.count(f"{ROWS} in balances ({account})") == 1


async def test_a_damaged_state_record_raises_the_metrics_until_state_is_made_anew(stack: Stack, user: Client) -> None:
    account = (await user.account())["account"]
    async with _kafka(stack) as (settings, client):
        partition = partition_of(account, settings.partitions)
        owner = owner_producers(client, settings.deployment, partition)
        await owner.initialise()
        stranger = queued_key(account, "standard", 99).encode()
        await owner.commit(
            [
                Outgoing(topics.ACCOUNTS, partition, account_key(account).encode(), None),
                Outgoing(topics.ACCOUNTS, partition, stranger, encode_state(Queued("job_nobody"), 0)),
            ]
        )
    found = await _until(stack, lambda seen: seen["invariant_violations", STATE] > 0)
    assert _violations(found) == {STATE: 2}
    told = await _audit(stack)
    assert told["laws"] == {STATE: 2}
    assert all(any("credits-granted" in event for event in events) for events in told["shown"].values())
    ran = await asyncio.to_thread(stack.darkroom, "rebuild-state")
    assert ran.returncode == 0, ran.stderr
    await _until(stack, lambda seen: not _violations(seen))


async def test_objects_that_are_gone_or_others_than_were_written_are_found_and_strays_listed(
    stack: Stack, user: Client
) -> None:
    jobs = [ok(await user.submit("sandbox/echo", {"seed": seed}, prefer="wait=60")) for seed in (1, 2)]
    account = (await user.account())["account"]
    async with open_store(settings_for(stack.data).s3) as store:
        said = [event["data"]["data"] for event in await asyncio.to_thread(stack.events, account)]
        keys = [content["result"]["key"] for content in said if content["type"] == "job-succeeded"]
        assert len(keys) == len(jobs)
        kept = [await store.get(key) for key in keys]
        await store.put(keys[0], kept[0][:-1] + bytes([kept[0][-1] ^ 1]), "image/png")
        await store.delete(keys[1])
        await store.put(f"{account}/stray", b"nobody's", "image/png")
        told = await _audit(stack, "--objects", "all")
        assert told["laws"] == {"what-is-stored-is-there": 1, "what-is-stored-is-what-was-written": 1}
        assert all(any("job-succeeded" in event for event in events) for events in told["shown"].values())
        assert {"key": f"{account}/stray", "bytes": 8} in told["orphans"]["listed"]
        assert (await _audit(stack, "--objects", "none"))["violations"] == []
        for key, content in zip(keys, kept, strict=True):
            await store.put(key, content, "image/png")
    assert (await _audit(stack, "--objects", "all"))["violations"] == []


async def test_a_planted_event_raises_the_metrics_and_is_shown(stack: Stack, user: Client) -> None:
    """The last test of this stack: what stands on the log is not taken back."""
    account = (await user.account())["account"]
    async with _kafka(stack) as (settings, client):
        partition = partition_of(account, settings.partitions)
        reader, last = KafkaLogReader(client), b""
        async for records in reader.read(topics.EVENTS, partition, 0):
            last = next((r.value or b"" for r in reversed(records) if r.key == account.encode()), last)
        event = decode_event(last)
        planted = replace(event, version=event.version + 1, data=CreditsGranted(1_000, "planted", 7, None))
        owner = owner_producers(client, settings.deployment, partition)
        await owner.initialise()
        await owner.commit([Outgoing(topics.EVENTS, partition, account.encode(), encode_event(planted))])
    found = await _until(stack, lambda seen: seen["invariant_violations", "balance-is-what-the-books-say"] > 0)
    assert found["ledger_drift_units", "events"] == 20 + 1_000 - 7
    assert _violations(found).keys() >= {"events-of-a-command-whole", "balance-is-what-the-books-say"}
    ran = await asyncio.to_thread(stack.darkroom, "audit")
    assert ran.returncode == 1
    assert f"    {planted.position} credits-granted " in ran.stdout
    assert "decided-again-the-same at" in ran.stdout
