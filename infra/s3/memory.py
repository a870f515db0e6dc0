"""An object store in memory, for tests and for tools that need no server."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from infra.s3.store import ObjectHead, ObjectNotFound, ObjectTooLarge, StoredBytes, checked

_CHUNK_BYTES = 64 << 10


class MemoryObjectStore:
    """`ObjectStore` over a dictionary; one event loop, no locks needed."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, str]] = {}

    def keys(self) -> list[str]:
        """Every key that holds an object."""
        return list(self._objects)

    async def put(self, key: str, body: bytes, content_type: str) -> StoredBytes:
        self._objects[key] = (bytes(body), content_type)
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

    def _find(self, key: str) -> tuple[bytes, str]:
        if key not in self._objects:
            raise ObjectNotFound(key)
        return self._objects[key]
