"""A dispatcher on real servers: items from the lane's topic, pictures through S3 and Triton, outcomes on `commands`."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from PIL import Image

from infra.ids import SystemIds
from infra.media.header import Format
from infra.s3.bucket import S3ObjectStore, open_store
from infra.settings import Settings
from schemas.codec import Unreadable, unpack_items
from schemas.commands import (
    AttemptStarted,
    Failed,
    RecordOutcome,
    RenewLease,
    StoredObject,
    Succeeded,
    decode_command,
)
from schemas.identifiers import partition_of
from schemas.topics import COMMANDS, dispatch_topic
from schemas.work import WorkItem, encode_work

PHOTOGRAPH = Path(__file__).parents[1] / "photographs" / "coffee.png"
ACCOUNT = "acct_" + "d" * 26
WAIT_S = 90.0
Told = AttemptStarted | RenewLease | RecordOutcome


class Dispatchers:
    """Starts dispatcher processes and listens to what they tell the deciders."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.told: list[Told] = []
        self._ids = SystemIds()
        self._arrived = asyncio.Event()
        servers = settings.kafka.bootstrap_servers
        self._listener = AIOKafkaConsumer(COMMANDS, bootstrap_servers=servers, fetch_max_wait_ms=50)
        self._producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=self._ids.mint("test"))

    async def open(self) -> None:
        await self._listener.start()
        await self._listener.seek_to_end()
        await self._producer.start()
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self._listening.cancel()
        await asyncio.wait([self._listening])
        await self._listener.stop()
        await self._producer.stop()

    def start(self, index: int = 0, **environment_of_test: str) -> subprocess.Popen[bytes]:
        (self.folder / "run").mkdir(exist_ok=True)
        s3 = self.settings.s3
        environment = {
            **os.environ,
            "DARKROOM_DATA_DIR": str(self.folder),
            "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "DARKROOM_S3__ENDPOINT_URL": str(s3.endpoint_url),
            "DARKROOM_S3__BUCKET": s3.bucket,
            "DARKROOM_S3__ACCESS_KEY": s3.access_key,
            "DARKROOM_S3__SECRET_KEY": s3.secret_key.get_secret_value(),
            "DARKROOM_SECRETS_DIR": str(self.settings.secrets_dir),
            "DARKROOM_POSTGRES_DSN": self.settings.postgres_dsn,
            "DARKROOM_TRITON_URLS": json.dumps(self.settings.triton_urls),
            **environment_of_test,
        }
        command = [sys.executable, "-m", "infra.cli.main", "serve", "dispatcher", "--index", str(index)]
        log = (self.folder / f"dispatcher-{index}.log").open("ab")
        process = subprocess.Popen(command, env=environment, stderr=log, cwd=Path(__file__).parents[2])
        log.close()
        self.processes.append(process)
        return process

    def item(
        self, model: str, params: dict[str, int], asset: StoredObject | None = None, **changes: object
    ) -> WorkItem:
        now_ms = time.time_ns() // 1_000_000
        job = self._ids.mint("job")
        made = WorkItem(
            job=job,
            account=ACCOUNT,
            product="darkroom",
            attempt=1,
            lane="standard",
            model=model,
            engine=model.replace("/", "_"),
            engine_version="1",
            params=params,
            input=asset,
            sealed=None,
            output_key=f"{ACCOUNT}/{job}/1",
            lease_until_ms=now_ms + 60_000,
            lease_ms=15_000,
            run_until_ms=now_ms + 180_000,
            trace="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
        )
        return msgspec.structs.replace(made, **changes)

    async def hand_out(self, *items: WorkItem, commit: bool = True) -> None:
        await self._producer.begin_transaction()
        partition = partition_of(ACCOUNT, self.settings.partitions)
        for item in items:
            await self._producer.send_and_wait(dispatch_topic(item.lane), encode_work(item), partition=partition)
        await (self._producer.commit_transaction() if commit else self._producer.abort_transaction())

    async def outcome(self, item: WorkItem) -> Succeeded | Failed:
        async with asyncio.timeout(WAIT_S):
            while True:
                self._arrived.clear()
                for told in self.of(item):
                    if isinstance(told, RecordOutcome):
                        return told.outcome
                await self._arrived.wait()

    def of(self, item: WorkItem) -> list[Told]:
        return [told for told in self.told if told.job == item.job]

    async def started(self, item: WorkItem) -> None:
        async with asyncio.timeout(WAIT_S):
            while not self.of(item):
                self._arrived.clear()
                await self._arrived.wait()

    async def _listen(self) -> None:
        async for record in self._listener:
            for packed in unpack_items(record.value):
                assert not isinstance(packed, Unreadable)
                envelope = decode_command(packed)
                if envelope.account == ACCOUNT and isinstance(envelope.command, Told):
                    assert (envelope.product, envelope.actor) == ("darkroom", "dispatcher")
                    assert envelope.trace is not None
                    self.told.append(envelope.command)
            self._arrived.set()


@pytest.fixture
async def dispatchers(settings: Settings, tmp_path: Path) -> AsyncIterator[Dispatchers]:
    made = Dispatchers(settings, tmp_path)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[S3ObjectStore]:
    async with open_store(settings.s3) as opened:
        yield opened


def pictures() -> dict[Format, bytes]:
    photograph = Image.open(PHOTOGRAPH).convert("RGB").crop((100, 0, 500, 300))
    made: dict[Format, bytes] = {}
    for name in ("jpeg", "png", "webp"):
        target = io.BytesIO()
        photograph.save(target, name, quality=95)
        made[name] = target.getvalue()
    return made


async def test_pictures_and_cards_come_back_and_failures_have_names(
    dispatchers: Dispatchers, store: S3ObjectStore
) -> None:
    dispatchers.start()
    items: dict[Format, WorkItem] = {}
    for name, content in pictures().items():
        stored = await store.put(f"{ACCOUNT}/{SystemIds().mint('asset')}", content, f"image/{name}")
        asset = StoredObject(stored.key, stored.size, stored.sha256, name, 400, 300)
        items[name] = dispatchers.item("classical/upscale", {"scale": 2}, asset)
    echo = dispatchers.item("sandbox/echo", {"seed": 200})
    flaky = dispatchers.item("sandbox/flaky", {"failures": 1})
    second = dispatchers.item("sandbox/flaky", {"failures": 1}, attempt=2)
    broken = dispatchers.item("sandbox/broken", {})
    await dispatchers.hand_out(*items.values(), echo, flaky, second, broken)
    for name, item in items.items():
        outcome = await dispatchers.outcome(item)
        assert isinstance(outcome, Succeeded)
        result = outcome.result
        assert (result.format, result.width, result.height) == (name, 800, 600)
        content = await store.get(result.key, result.sha256)
        shown = Image.open(io.BytesIO(content)).convert("RGB")
        plain = Image.open(io.BytesIO(pictures()[name])).convert("RGB").resize(shown.size, Image.Resampling.BICUBIC)
        assert 0.5 < np.abs(np.asarray(shown).astype(int) - np.asarray(plain)).mean() < 8
        assert outcome.model_ms > 0
        assert isinstance(dispatchers.of(item)[0], AttemptStarted)
    assert isinstance(await dispatchers.outcome(echo), Succeeded)
    assert isinstance(await dispatchers.outcome(second), Succeeded)
    for item, cause in ((flaky, "transient"), (broken, "permanent")):
        outcome = await dispatchers.outcome(item)
        assert isinstance(outcome, Failed)
        assert outcome.cause == cause


async def test_lanes_do_not_wait_for_each_other_and_a_dead_server_is_passed_over(dispatchers: Dispatchers) -> None:
    """One of two servers is not there, and the batch lane is full for six seconds; nobody else notices either."""
    dispatchers.start(DARKROOM_TRITON_URLS=json.dumps(["127.0.0.1:1", *dispatchers.settings.triton_urls]))
    await dispatchers.hand_out(first := dispatchers.item("sandbox/echo", {"seed": 1}))
    assert isinstance(await dispatchers.outcome(first), Succeeded)
    batch = [dispatchers.item("sandbox/slow", {"seconds": 2}, lane="batch") for _ in range(18)]
    await dispatchers.hand_out(*batch)
    await dispatchers.started(batch[0])
    began = time.monotonic()
    others = [
        dispatchers.item("sandbox/echo", {"seed": 1}, lane=lane) for lane in ("priority", "standard", "video") * 3
    ]
    await dispatchers.hand_out(*others)
    for item in others:
        outcome = await dispatchers.outcome(item)
        assert isinstance(outcome, Succeeded)
        assert outcome.run is not None
        assert outcome.run.engine == "sandbox_echo"
    assert time.monotonic() - began < 2
    unfinished = [item for item in batch if not any(isinstance(t, RecordOutcome) for t in dispatchers.of(item))]
    assert len(unfinished) > 5
    for item in batch:
        assert isinstance(await dispatchers.outcome(item), Succeeded)


async def test_aborted_items_are_never_run(dispatchers: Dispatchers) -> None:
    phantom = [dispatchers.item("sandbox/echo", {"seed": seed}) for seed in range(20)]
    await dispatchers.hand_out(*phantom, commit=False)
    dispatchers.start()
    await dispatchers.hand_out(real := dispatchers.item("sandbox/echo", {"seed": 1}))
    assert isinstance(await dispatchers.outcome(real), Succeeded)
    await dispatchers.hand_out(*phantom[10:], commit=False)
    await dispatchers.hand_out(later := dispatchers.item("sandbox/echo", {"seed": 2}))
    assert isinstance(await dispatchers.outcome(later), Succeeded)
    assert [told for item in phantom for told in dispatchers.of(item)] == []


async def test_a_killed_dispatchers_share_moves_on_and_finished_items_stay_finished(dispatchers: Dispatchers) -> None:
    first = dispatchers.start(0)
    done = dispatchers.item("sandbox/echo", {"seed": 1})
    await dispatchers.hand_out(done)
    assert isinstance(await dispatchers.outcome(done), Succeeded)
    await asyncio.sleep(1.5)  # longer than Faust's commit interval
    member = json.loads((dispatchers.folder / "run" / "dispatcher-0.member").read_text())
    assert member["group"] == "darkroom-dispatchers"
    first.kill()
    await asyncio.to_thread(first.wait)
    dispatchers.start(1)
    later = dispatchers.item("sandbox/echo", {"seed": 2})
    await dispatchers.hand_out(later)
    assert isinstance(await dispatchers.outcome(later), Succeeded)
    assert sum(isinstance(told, RecordOutcome) for told in dispatchers.of(done)) == 1


async def test_a_stop_is_quick_and_gives_back_what_it_cannot_end(dispatchers: Dispatchers) -> None:
    process = dispatchers.start()
    slow = dispatchers.item("sandbox/slow", {"seconds": 60}, lease_ms=3_000)
    await dispatchers.hand_out(slow)
    await dispatchers.started(slow)
    await asyncio.sleep(2.5)
    assert any(isinstance(told, RenewLease) for told in dispatchers.of(slow))
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait) == 0
    assert time.monotonic() - began < 10
    outcome = await dispatchers.outcome(slow)
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.reason) == ("engine-unavailable", "dispatcher-stopped")
