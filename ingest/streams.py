"""Answers that are sent while they are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Streamed(Response):
    """A body in pieces; `close` is called once it has been sent, or could not be."""

    def __init__(self, status: int, media: str, pieces: AsyncIterator[bytes], close: Callable[[], None]) -> None:
        self.status_code = status
        self.background = None
        self.body = b""
        self.raw_headers = [(b"content-type", media.encode()), (b"cache-control", b"no-store")]
        self._pieces, self._close = pieces, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._close()
