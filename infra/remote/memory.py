"""Remote pictures in memory, for tests and tools that need no network."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from infra.remote.fetch import RemoteRefused

_CHUNK_BYTES = 16 << 10


class MemoryFetcher:
    """`RemoteFetcher` over a dictionary; every other URL is refused. `asked` are the URLs in their order."""

    def __init__(self, pictures: dict[str, bytes] | None = None) -> None:
        self.pictures = pictures or {}
        self.asked: list[str] = []

    async def chunks(self, url: str, bytes_max: int) -> AsyncGenerator[bytes]:
        self.asked.append(url)
        found = self.pictures.get(url)
        if found is None:
            raise RemoteRefused("The server answered 404 and not 200.")
        if len(found) > bytes_max:
            raise RemoteRefused(f"The picture has more than {bytes_max} bytes.")
        for at in range(0, len(found), _CHUNK_BYTES):
            yield found[at : at + _CHUNK_BYTES]
