"""A runner with every port in memory, and work items for it."""

import asyncio
import io
import time
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from infra.clock import SystemClock
from infra.ids import SeededIds
from infra.media.header import Format
from infra.s3.memory import MemoryObjectStore
from infra.sealing.keys import MemoryKeyStore, StoredKeyRing
from infra.sealing.opener import KeyOpener
from infra.triton.engine import Engine, MemoryEngine, Tensors
from infra.triton.quarantine import Quarantine
from processors.dispatch.engines import Engines
from processors.dispatch.media import Decoded, EncodedClip, InputUndecodable
from processors.dispatch.pixels import Clip, Pixels
from processors.dispatch.runner import Ports, Runner
from processors.dispatch.sender import MemoryCommandSender
from processors.dispatch.tiles import HALO
from schemas.catalogue import parse_catalogue
from schemas.commands import Failed, RecordOutcome, StoredObject, Succeeded
from schemas.work import WorkItem

WRAPPING = b"w" * 32
CATALOGUE = parse_catalogue((Path(__file__).parents[3] / "infra" / "catalogue.toml").read_bytes())


class InlineMedia:
    """Media without processes: PNG only."""

    async def decode(self, content: bytes) -> Decoded:
        if content == b"broken":
            raise InputUndecodable("The picture is broken.")
        return Decoded(Pixels.of(np.asarray(Image.open(io.BytesIO(content)))), "png")

    async def encode(self, pixels: Pixels, format: Format, label: str = "") -> bytes:
        target = io.BytesIO()
        Image.fromarray(pixels.array).save(target, format)
        return target.getvalue()

    async def encode_clip(self, clip: Clip, label: str = "") -> EncodedClip:
        return EncodedClip(clip.frames.tobytes(), "mp4", clip.frames[0].tobytes())


def enlarge_plainly(inputs: Tensors) -> Tensors:
    scale = int(inputs["SCALE"][0])
    inner = inputs["PIXELS"][HALO:-HALO, HALO:-HALO]
    return {"PIXELS": inner.repeat(scale, 0).repeat(scale, 1)}


def card(inputs: Tensors) -> Tensors:
    return {"PIXELS": np.full((1, 64, 64, 3), inputs["SEED"][0, 0], np.uint8)}


class World:
    """The ports of one runner and shorthands to look at them."""

    def __init__(self) -> None:
        self.store = MemoryObjectStore()
        self.engine = MemoryEngine({"classical_upscale": enlarge_plainly, "sandbox_echo": card})
        self.sender = MemoryCommandSender()
        self.keys = MemoryKeyStore()
        self.ring = StoredKeyRing(self.keys, WRAPPING, SeededIds(8))
        self.opener = KeyOpener(self.keys, self.keys, WRAPPING)
        self.runner = self.runner_with(self.engine)

    def runner_with(self, engine: Engine, quarantine: Quarantine | None = None) -> Runner:
        engines = Engines(engine, quarantine)
        ports = Ports(self.store, engines, InlineMedia(), self.opener, self.sender, SystemClock(), SeededIds(7))
        return Runner(ports, CATALOGUE, "dispatcher-0")

    @property
    def outcome(self) -> Succeeded | Failed:
        (outcome,) = [sent.outcome for sent in self.sender.sent if isinstance(sent, RecordOutcome)]
        return outcome

    async def asset(self, content: bytes) -> StoredObject:
        stored = await self.store.put("acct_a/asset_1", content, "image/png")
        return StoredObject(stored.key, stored.size, stored.sha256, "png", 60, 40)


def item(**changes: object) -> WorkItem:
    now_ms = time.time_ns() // 1_000_000
    made = WorkItem(
        job="job_1",
        account="acct_a",
        product="darkroom",
        attempt=1,
        lane="standard",
        model="sandbox/echo",
        engine="sandbox_echo",
        engine_version="1",
        params={"seed": 9},
        input=None,
        sealed=None,
        output_key="acct_a/job_1/1",
        lease_until_ms=now_ms + 60_000,
        lease_ms=15_000,
        run_until_ms=now_ms + 180_000,
        trace="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
    )
    return msgspec.structs.replace(made, **changes)


def upscale(asset: StoredObject, **changes: object) -> WorkItem:
    of_model = {"model": "classical/upscale", "engine": "classical_upscale", "params": {"scale": 2}, "input": asset}
    return item(**{**of_model, **changes})


class SlowEngine:
    """Answers after a while, and counts who is inside."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.inside, self.most = seconds, 0, 0

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.inside -= 1
        return card(inputs)

    async def ready(self) -> bool:
        return True
