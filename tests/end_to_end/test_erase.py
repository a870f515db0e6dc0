"""An erased account: nothing that it stored can be read, on no topic and in no store, and its money adds up."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from infra.cli.target import settings_for
from infra.http.tokens import read_secret
from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.sealing.cipher import DataKey, SealBroken, open_sealed, unwrap
from infra.sealing.content import ASSET, JOB, SUBJECT
from infra.sealing.topic import parse_record_key
from schemas.topics import KEYS, TOPICS
from tests.client import Client, ok
from tests.stack import Stack

_SEALED = re.compile(rb"key_[a-z2-7]+\.[A-Za-z0-9_-]{20,}")
_PURPOSES = (SUBJECT, JOB, ASSET, "album")


@asynccontextmanager
async def _reader(stack: Stack) -> AsyncIterator[KafkaLogReader]:
    client = await start_client(settings_for(stack.data).kafka)
    try:
        yield KafkaLogReader(client)
    finally:
        await client.close()


async def _texts(stack: Stack) -> dict[str, list[bytes]]:
    """Everything that stands on any topic, raw: keys, values and headers of every record by topic."""
    settings, found = settings_for(stack.data), dict[str, list[bytes]]()
    async with _reader(stack) as reader:
        for spec in TOPICS:
            texts = found.setdefault(spec.name, [])
            for partition in range(settings.partitions if spec.partitions is None else spec.partitions):
                begin = await reader.begin_offset(spec.name, partition)
                async for batch in reader.read(spec.name, partition, begin):
                    for record in batch:
                        headers = b" ".join(value for _, value in record.headers)
                        texts.append(b" ".join((record.key or b"", record.value or b"", headers)))
    return found


async def _living_keys(stack: Stack, account: str) -> dict[str, DataKey]:
    """The account's keys as a reader of the topic would have them."""
    settings, keys = settings_for(stack.data), dict[str, DataKey]()
    wrapping = read_secret(settings.secrets_dir, "wrapping.key")
    async with _reader(stack) as reader:
        for partition in range(settings.partitions):
            async for batch in reader.read(KEYS, partition, await reader.begin_offset(KEYS, partition)):
                for record in batch:
                    owner, key_id = parse_record_key(record.key or b"") or ("", "")
                    if owner == account and record.value is not None:
                        keys[key_id] = unwrap(wrapping, account, key_id, record.value)
                    elif owner == account:
                        keys.pop(key_id, None)
    return keys


def _opened(texts: Mapping[str, list[bytes]], account: str, keys: Mapping[str, DataKey]) -> str:
    """All that these keys open in the texts, one after the other."""
    sealed = {found.decode() for group in texts.values() for text in group for found in _SEALED.findall(text)}
    opened = []
    for text in sealed:
        key = keys.get(text.partition(".")[0])
        for purpose in _PURPOSES if key is not None else ():
            try:
                assert key is not None
                opened.append(open_sealed(key, account, purpose, text).decode())
            except SealBroken:
                pass
    return "\n".join(opened)


def _objects(stack: Stack, account: str) -> list[Path]:
    folder = stack.data / "s3" / "objects" / "darkroom" / account
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_after_an_erasure_nothing_can_be_read_and_every_total_stands(stack: Stack) -> None:
    marker = f"marker{uuid.uuid4().hex}"
    async with Client(stack, f"{marker}-subject") as user:
        await user.grant(20)
        account = (await user.account())["account"]
        asset = ok(await user.upload(name=f"{marker}-file.jpg"))
        job = ok(await user.submit("sandbox/echo", metadata={"note": f"{marker}-note"}, prefer="wait=30"))
        assert (await user.job(job["id"]))["metadata"] == {"note": f"{marker}-note"}
        money, ledger = await user.account(), await user.ledger()
        opened = _opened(await _texts(stack), account, await _living_keys(stack, account))
        assert all(f"{marker}-{what}" in opened for what in ("subject", "file.jpg", "note"))
        assert len(_objects(stack, account)) == 2

        ran = await asyncio.to_thread(stack.darkroom, "erase", "--account", user.name)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        assert "access to 2 assets has ended" in ran.stdout
        assert "the bytes are deleted" in ran.stdout
        assert _objects(stack, account) == []

        texts, keys = await _texts(stack), await _living_keys(stack, account)
        assert keys == {}
        assert _opened(texts, account, keys) == ""
        assert not any(marker.encode() in text for group in texts.values() for text in group)
        assert (await user.job(job["id"])).get("metadata") is None
        assert (await user.http.get(asset["url"])).status_code == 410
        assert (await user.http.get(job["result"]["url"])).status_code == 410
        after = await user.account()
        assert {**after, "position": ""} == {**money, "position": ""}
        assert await user.ledger() == ledger
        assert (await asyncio.to_thread(stack.audit))["violations"] == []
        for model in ("keys", "jobs"):
            rebuilt = await asyncio.to_thread(stack.darkroom, "rebuild", "--model", model)
            assert rebuilt.returncode == 0, rebuilt.stderr + rebuilt.stdout
        assert (await user.job(job["id"])).get("metadata") is None

        await _used_again(stack, user, account, marker)


async def _used_again(stack: Stack, user: Client, account: str, marker: str) -> None:
    """A later use of the same subject begins with a new key, and brings nothing back."""
    job = ok(await user.submit("sandbox/echo", metadata={"note": "after"}, prefer="wait=30"))
    assert (await user.job(job["id"]))["metadata"] == {"note": "after"}
    assert (await user.http.get(job["result"]["url"])).status_code == 200
    opened = _opened(await _texts(stack), account, await _living_keys(stack, account))
    assert "after" in opened
    assert f"{marker}-subject" in opened, "the new use seals its subject anew"
    assert f"{marker}-note" not in opened


async def test_an_account_that_never_opened_can_be_erased(stack: Stack) -> None:
    ran = await asyncio.to_thread(stack.darkroom, "erase", "--account", "darkroom:nobody-at-all")
    assert ran.returncode == 0, ran.stderr
    assert "the account never opened" in ran.stdout
    ran = await asyncio.to_thread(stack.darkroom, "erase", "--account", "acct_" + "a" * 26)
    assert ran.returncode == 2
    assert "PRODUCT:SUBJECT" in ran.stderr
