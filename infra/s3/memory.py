"""An object store in memory, for tests and for tools that need no server."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence

from infra.clock import Clock, SystemClock
from infra.s3.store import (
    ListedObject,
    ObjectHead,
    ObjectNotFound,
    ObjectTooLarge,
    SignedPut,
    StoredBytes,
    checked,
)

_CHUNK_BYTES = 64 << 10
_PAGE_OBJECTS_MAX = 1_000


class MemoryObjectStore:
    """`ObjectStore` over a dictionary; one event loop, no locks needed."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._modified_ms: dict[str, int] = {}

    def keys(self) -> list[str]:
        """Every key that holds an object."""
        return list(self._objects)

    async def put(self, key: str, body: bytes, content_type: str) -> StoredBytes:
        self._objects[key] = (bytes(body), content_type)
        self._modified_ms[key] = self._clock.now_ms() // 1000 * 1000
        return StoredBytes(key, len(body), hashlib.sha256(body).hexdigest())

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], content_type: str, bytes_max: int
    ) -> StoredBytes:
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > bytes_max:
                raise ObjectTooLarge(f"more than {bytes_max} bytes")
        return await self.put(key, bytes(body), content_type)

    async def get(self, key: str, sha256: str | None = None) -> bytes:
        return checked(key, self._find(key)[0], sha256)

    async def stream(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        body = self._find(key)[0][start:end]
        for at in range(0, len(body), _CHUNK_BYTES):
            yield body[at : at + _CHUNK_BYTES]

    async def head(self, key: str) -> ObjectHead:
        body, content_type = self._find(key)
        return ObjectHead(key, len(body), content_type)

    async def exists(self, key: str) -> bool:
        return key in self._objects

    async def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    async def signed_put(self, key: str, expires_s: int, size: int | None = None) -> SignedPut:
        headers = {} if size is None else {"Content-Length": str(size)}
        return SignedPut(f"memory://{key}?expires={expires_s}", headers)

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            await self.delete(key)

    async def pages(self, prefix: str = "") -> AsyncIterator[Sequence[ListedObject]]:
        found = sorted(key for key in self._objects if key.startswith(prefix))
        for at in range(0, len(found), _PAGE_OBJECTS_MAX):
            keys = [key for key in found[at : at + _PAGE_OBJECTS_MAX] if key in self._objects]
            yield [ListedObject(key, len(self._objects[key][0]), self._modified_ms[key]) for key in keys]

    async def abort_uploads(self, before_ms: int) -> int:
        return 0  # an upload stands in its caller's memory alone until it is whole

    def _find(self, key: str) -> tuple[bytes, str]:
        if key not in self._objects:
            raise ObjectNotFound(key)
        return self._objects[key]
