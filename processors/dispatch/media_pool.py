"""A few media processes that may die at any time.

Each serves one request at a time over its own socket, so a killed one loses only the request it had. A request whose
process dies is tried once more in a fresh one: what also kills that is the picture's own fault (a decoding bomb that
ran into the limits of memory or processor time), everything else was an accident.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess  # nosec B404 # our own programs, no shell
import sys
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from infra.media.header import Format, VideoFormat
from processors.dispatch.media import INPUT_PIXELS_MAX, Decoded, EncodedClip, InputUndecodable, MediaUnavailable
from processors.dispatch.media_worker import MESSAGE_BYTES_MAX, Answer, DecodeRequest, EncodeRequest, FilmRequest
from processors.dispatch.pixels import Clip, Pixels

_DECODE_CPU_S_MAX = 20
_ENCODE_CPU_S_MAX = 90
_WALL_S_MAX = 110.0
_TRIES = 2
_ROOT = Path(__file__).resolve().parents[2]
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Answer)


class _Lost(Exception):
    """The process ended before it answered."""


@asynccontextmanager
async def open_media_pool(size: int) -> AsyncGenerator[MediaPool]:
    """Start `size` media processes; they end with the block."""
    pool = MediaPool(size)
    try:
        yield pool
    finally:
        pool.close()


class MediaPool:
    """`Media` in `size` processes of their own."""

    def __init__(self, size: int) -> None:
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._workers = {_Worker() for _ in range(size)}
        for worker in self._workers:
            self._idle.put_nowait(worker)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="media")
        self._closed = False

    @property
    def process_ids(self) -> list[int]:
        """Process ids of the media processes that live now."""
        return [worker.process.pid for worker in self._workers]

    async def decode(self, content: bytes) -> Decoded:
        descriptor = os.memfd_create("input")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(content)
            answer, made = await self._request(DecodeRequest(INPUT_PIXELS_MAX, _DECODE_CPU_S_MAX), descriptor)
        except _Lost as error:
            raise InputUndecodable("The picture takes more memory or time to decode than one picture may.") from error
        finally:
            os.close(descriptor)
        if answer.refused is not None:
            os.close(made)
            raise InputUndecodable(answer.refused)
        pixels = Pixels(made, answer.width, answer.height, answer.channels)
        return Decoded(pixels, msgspec.convert(answer.format, Format))

    async def encode(self, pixels: Pixels, format: Format, label: str = "") -> bytes:
        request = EncodeRequest(pixels.width, pixels.height, pixels.channels, format, _ENCODE_CPU_S_MAX, label)
        return (await self._encoded(request, pixels.descriptor))[1]

    async def encode_clip(self, clip: Clip, label: str = "") -> EncodedClip:
        request = FilmRequest(clip.width, clip.height, clip.count, clip.fps, _ENCODE_CPU_S_MAX, label)
        answer, content = await self._encoded(request, clip.strip.descriptor)
        with Pixels.of(clip.frames[clip.count // 3]) as middle:
            thumbnail = await self.encode(middle, "jpeg", label)
        return EncodedClip(content, msgspec.convert(answer.format, VideoFormat), thumbnail)

    async def _encoded(self, request: EncodeRequest | FilmRequest, descriptor: int) -> tuple[Answer, bytes]:
        try:
            answer, made = await self._request(request, descriptor)
        except _Lost as error:
            raise MediaUnavailable("The result could not be encoded: two media processes were lost.") from error
        with os.fdopen(made, "rb") as file:
            if answer.refused is not None:
                raise MediaUnavailable(answer.refused)
            file.seek(0)
            return answer, await asyncio.to_thread(file.read)

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._closed = True
        for worker in self._workers:
            worker.end()
        self._threads.shutdown(wait=True)

    async def _request(
        self, request: DecodeRequest | EncodeRequest | FilmRequest, descriptor: int
    ) -> tuple[Answer, int]:
        """Have a process serve the request; the answer's descriptor is the caller's to close. Raises _Lost."""
        message = _encoder.encode(request)
        for tried in range(1, _TRIES + 1):
            worker = await self._idle.get()
            own = os.dup(descriptor)  # the caller may be cancelled and close its own meanwhile
            exchange = asyncio.get_running_loop().run_in_executor(self._threads, worker.exchange, message, own)
            exchange.add_done_callback(self._returner(worker))
            try:
                return await asyncio.shield(exchange)
            except asyncio.CancelledError:
                exchange.add_done_callback(_discard)
                raise
            except _Lost:
                if tried == _TRIES:
                    raise
        raise AssertionError("the last try returns or raises")

    def _returner(self, worker: _Worker) -> Callable[[asyncio.Future[tuple[Answer, int]]], None]:
        def give_back(exchange: asyncio.Future[tuple[Answer, int]]) -> None:
            if self._closed:
                return
            if exchange.exception() is None:
                self._idle.put_nowait(worker)
                return
            worker.end()
            self._workers.discard(worker)
            fresh = _Worker()
            self._workers.add(fresh)
            self._idle.put_nowait(fresh)

        return give_back


def _discard(exchange: asyncio.Future[tuple[Answer, int]]) -> None:
    """Close what came for a caller that is gone."""
    if not exchange.cancelled() and exchange.exception() is None:
        os.close(exchange.result()[1])


class _Worker:
    """One media process and our end of its socket. `exchange` blocks; one at a time."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_WALL_S_MAX)
        with theirs:
            command = [sys.executable, "-m", "processors.dispatch.media_worker", str(theirs.fileno())]
            environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
            self.process = subprocess.Popen(  # nosec B603 # a list of ours, no shell
                command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )

    def exchange(self, message: bytes, descriptor: int) -> tuple[Answer, int]:
        try:
            socket.send_fds(self._channel, [message], [descriptor])
            answer, descriptors, _, _ = socket.recv_fds(self._channel, MESSAGE_BYTES_MAX, 1)
        except OSError as error:
            raise _Lost from error
        finally:
            os.close(descriptor)
        if not answer:
            raise _Lost
        return _decoder.decode(answer), descriptors[0]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._channel.close()
