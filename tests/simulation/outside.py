"""What stands around the pipeline: engine, pictures, object store and read models, each with the faults it has."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from random import Random
from typing import Any, Self

import numpy as np

from infra.media.header import Format
from infra.s3.memory import MemoryObjectStore
from infra.s3.store import ListedObject, StoredBytes, StoreUnavailable, checked
from infra.triton.engine import EngineCrashed, EngineUnavailable, PermanentFailure, Tensors, TransientFailure
from processors.dispatch.media import Decoded, EncodedClip, MediaUnavailable
from processors.dispatch.pixels import Clip, Pixels
from projections.memory import MemoryReadModels
from projections.ports import Hole, Move, StoreFault, Tracked
from projections.rows import Rows
from schemas.commands import StoredObject
from schemas.positions import Position
from tests.simulation.processes import SERVER, reach_out
from tests.simulation.troubles import Troubles


class Engine:
    """Implements `infra.triton.engine.Engine`: cards, after a while; at times late, wrong, away or dead."""

    def __init__(self, random: Random, troubles: Troubles) -> None:
        self._random, self._troubles = random, troubles

    async def infer(self, model: str, version: str, inputs: Tensors, timeout_s: float) -> Tensors:
        """See the port."""
        reach_out()
        strikes = self._troubles.strikes
        if strikes("engine away", 0.03):
            raise EngineUnavailable("the engine is away")
        took_s = self._random.expovariate(3.0)
        if strikes("engine slower than a lease", 0.08):
            took_s += self._random.uniform(2, 25)
        if took_s > timeout_s:
            await asyncio.sleep(timeout_s)
            raise TransientFailure("the engine took too long")
        await asyncio.sleep(took_s)
        reach_out()
        if strikes("engine crashed", 0.03):
            raise EngineCrashed("the engine died")
        if strikes("engine failed", 0.05):
            raise TransientFailure("the model failed")
        if strikes("engine refused the picture", 0.04):
            raise PermanentFailure("the model cannot do this")
        if strikes("engine answered the wrong shape", 0.02):
            return {"PIXELS": np.zeros((1, 2), np.float32)}
        return {"PIXELS": np.full((1, 4, 4, 3), int(inputs["SEED"][0, 0]) % 256, np.uint8)}

    async def ready(self) -> bool:
        """See the port."""
        return True


class PlainMedia:
    """Implements `processors.dispatch.media.Media` without any picture format."""

    def __init__(self, troubles: Troubles) -> None:
        self._troubles = troubles

    async def decode(self, content: bytes) -> Decoded:
        """Any bytes are a picture."""
        reach_out()
        if self._troubles.strikes("a decoding process was lost", 0.02):
            raise MediaUnavailable("lost")
        return Decoded(Pixels.of(np.frombuffer(content[:48].ljust(48, b"."), np.uint8).reshape(4, 4, 3)), "png")

    async def encode(self, pixels: Pixels, format: Format, label: str = "") -> bytes:
        """The pixels as they are."""
        reach_out()
        return pixels.array.tobytes()

    async def encode_clip(self, clip: Clip, label: str = "") -> EncodedClip:
        """Nobody asks for videos here."""
        raise NotImplementedError


class Store(MemoryObjectStore):
    """Implements `infra.s3.store.ObjectStore`; `replaced` names keys that were written with other bytes."""

    def __init__(self, clock: Any, random: Random, troubles: Troubles) -> None:
        super().__init__(clock)
        self._random, self._troubles = random, troubles
        self.replaced: list[str] = []

    def digest(self, key: str) -> str | None:
        """The sha256 of what is stored under the key."""
        found = self._objects.get(key)
        return None if found is None else hashlib.sha256(found[0]).hexdigest()

    async def put(self, key: str, body: bytes, content_type: str) -> StoredBytes:
        """See the port."""
        await self._asked("store away before a write")
        before = self._objects.get(key)
        if before is not None and before[0] != body:
            self.replaced.append(key)
        stored = await super().put(key, body, content_type)
        await self._asked("store wrote and did not answer")
        return stored

    async def get(self, key: str, sha256: str | None = None) -> bytes:
        """See the port."""
        await self._asked("store away before a read")
        body = await super().get(key)
        if self._troubles.strikes("store gave fewer bytes", 0.03):
            body = body[:-1]
        return checked(key, body, sha256)

    async def delete_many(self, keys: Sequence[str]) -> None:
        """See the port."""
        await self._asked("store away before a deletion")
        await super().delete_many(keys)
        await self._asked("store deleted and did not answer")

    async def pages(self, prefix: str = "") -> AsyncIterator[Sequence[ListedObject]]:
        """See the port."""
        await self._asked("store away before a listing")
        async for page in super().pages(prefix):
            yield page

    async def _asked(self, fault: str) -> None:
        reach_out()
        await asyncio.sleep(self._random.uniform(0.001, 0.02))
        reach_out()
        if self._troubles.strikes(fault, 0.02):
            raise StoreUnavailable(fault)


class Models:
    """Implements `projections.ports.ReadModels`: the one database, over one of its connections."""

    def __init__(self, models: MemoryReadModels, troubles: Troubles) -> None:
        self._models, self._troubles = models, troubles

    def generations(self) -> Mapping[str, int]:
        """See the port."""
        self._fault("read models away before a read")
        return self._models.generations()

    def positions(self, names: Sequence[str]) -> Mapping[str, Tracked]:
        """See the port."""
        return self._models.positions(names)

    def apply(self, moves: Sequence[Move], rows: Sequence[Rows], reached: Sequence[Position] = ()) -> Sequence[Hole]:
        """See the port."""
        self._fault("read models away before a write")
        holes = self._models.apply(moves, rows, reached)
        assert not holes, f"a hole in the log: {holes}"
        self._fault("read models wrote and did not answer")
        return holes

    def close(self) -> None:
        """See the port."""

    def _fault(self, fault: str) -> None:
        if self._troubles.strikes(fault, 0.02):
            raise StoreFault(fault)


class Connection:
    """Stands in for the executor whose one thread holds a connection: what was sent is done, whoever dies meanwhile.

    Whoever sends a call before the last one is answered cannot know where that one has left the store: a complaint.
    """

    def __init__(self, random: Random, complaints: list[str]) -> None:
        self._random, self._complaints = random, complaints
        self._free_s = 0.0
        self._last: Future[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Do it there, one after the other, and answer."""
        reach_out()
        if self._last is not None and not self._last.done():
            self._complaints.append("a projector sent a call before the last one was answered")
        loop, answer = asyncio.get_running_loop(), Future[Any]()
        self._last = answer
        self._free_s = max(self._free_s, loop.time()) + self._random.uniform(0.0005, 0.01)
        loop.call_at(self._free_s, self._do, answer, lambda: call(*arguments), context=SERVER)
        return answer

    def _do(self, answer: Future[Any], call: Callable[[], Any]) -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except Exception as error:
            self._say(answer.set_exception, error)
        else:
            self._say(answer.set_result, result)

    def _say(self, say: Callable[[Any], None], what: Any) -> None:
        pause_s = self._random.uniform(0.0005, 0.01)
        asyncio.get_running_loop().call_later(pause_s, say, what, context=SERVER)


class NoOpener:
    """Nothing is sealed here."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nothing is sealed, and {name} was asked for")


def stored_picture(key: str, body: bytes) -> StoredObject:
    """What a command says of an upload."""
    return StoredObject(key, len(body), hashlib.sha256(body).hexdigest(), "png", 4, 4)
