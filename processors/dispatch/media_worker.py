"""A media process: `python -m processors.dispatch.media_worker DESCRIPTOR` serves one request after another.

It reads a request (JSON) and one descriptor from its socket, works within limits of memory and processor time, and
answers JSON and a descriptor. It may be killed at any moment: it keeps nothing, and dies with its parent.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import resource
import signal
import socket
import sys
from typing import IO

import msgspec
import numpy as np
from PIL import Image

from infra.media.header import Format, VideoFormat
from processors.dispatch.pictures import PictureRefused, decode_picture, encode_picture

MESSAGE_BYTES_MAX = 4096
_ADDRESS_SPACE_BYTES_MAX = 4 << 30
_DIE_WITH_PARENT = 1
_STRIP_ROWS = 128


class DecodeRequest(msgspec.Struct, frozen=True, tag="decode"):
    """The descriptor holds a file's bytes."""

    pixels_max: int
    cpu_s_max: int


class EncodeRequest(msgspec.Struct, frozen=True, tag="encode"):
    """The descriptor holds rows of pixels."""

    width: int
    height: int
    channels: int
    format: Format
    cpu_s_max: int
    label: str = ""


class FilmRequest(msgspec.Struct, frozen=True, tag="film"):
    """The descriptor holds frames below each other, RGB."""

    width: int
    height: int
    count: int
    fps: int
    cpu_s_max: int
    label: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What came of it; the descriptor beside it holds pixels or a file. `refused` excludes all the rest."""

    width: int = 0
    height: int = 0
    channels: int = 0
    format: Format | VideoFormat = "png"
    refused: str | None = None


_decoder = msgspec.json.Decoder(DecodeRequest | EncodeRequest | FilmRequest)
_encoder = msgspec.json.Encoder()


def main(descriptor: int) -> None:
    """Serve until the other end of the socket closes."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES_MAX, _ADDRESS_SPACE_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Image.init()
    with socket.socket(fileno=descriptor) as channel:
        while True:
            message, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES_MAX, 1)
            if not message:
                return
            with os.fdopen(descriptors[0], "r+b", buffering=0) as given:
                _serve(channel, message, given)


def _serve(channel: socket.socket, message: bytes, given: IO[bytes]) -> None:
    request = _decoder.decode(message)
    _allow_processor_time(request.cpu_s_max)
    with os.fdopen(os.memfd_create("media"), "w+b") as made:
        try:
            answer = _answer(request, given, made)
            made.flush()
        except PictureRefused as error:
            answer = Answer(refused=str(error)[:500])
        except (MemoryError, OSError, ValueError) as error:
            answer = Answer(refused=f"The picture cannot be written: {error}."[:500])
        socket.send_fds(channel, [_encoder.encode(answer)], [made.fileno()])


def _answer(request: DecodeRequest | EncodeRequest | FilmRequest, given: IO[bytes], made: IO[bytes]) -> Answer:
    match request:
        case DecodeRequest():
            return _decode(request, given, made)
        case EncodeRequest():
            return _encode(request, given, made)
        case FilmRequest():
            return _film(request, given, made)


def _decode(request: DecodeRequest, given: IO[bytes], made: IO[bytes]) -> Answer:
    given.seek(0)
    image, found = decode_picture(given, request.pixels_max)
    for top in range(0, image.height, _STRIP_ROWS):
        strip = image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height)))
        made.write(strip.tobytes())
    return Answer(image.width, image.height, len(image.getbands()), found)


def _encode(request: EncodeRequest, given: IO[bytes], made: IO[bytes]) -> Answer:
    encode_picture(_image(request, given), made, request.format, request.label)
    return Answer(request.width, request.height, request.channels, request.format)


def _film(request: FilmRequest, given: IO[bytes], made: IO[bytes]) -> Answer:
    from processors.dispatch.films import encode_film  # most media processes never make one

    with mmap.mmap(given.fileno(), 0, access=mmap.ACCESS_READ) as shared:
        whole = np.frombuffer(shared, np.uint8).reshape(request.count, request.height, request.width, 3)
        form = encode_film(whole, request.fps, f"/proc/self/fd/{made.fileno()}", request.label)
        del whole  # the mapping cannot close under it
    return Answer(request.width, request.height, 3, form)


def _image(request: EncodeRequest, given: IO[bytes]) -> Image.Image:
    """Copy the pixels strip by strip, letting go of what was copied: large pictures are not held twice."""
    mode = "RGBA" if request.channels == 4 else "RGB"
    image = Image.new(mode, (request.width, request.height))
    row_bytes = request.width * request.channels
    with mmap.mmap(given.fileno(), 0, access=mmap.ACCESS_READ) as shared:
        for top in range(0, request.height, _STRIP_ROWS):
            rows = min(_STRIP_ROWS, request.height - top)
            strip = shared[top * row_bytes : (top + rows) * row_bytes]
            image.paste(Image.frombytes(mode, (request.width, rows), strip), (0, top))
            shared.madvise(mmap.MADV_DONTNEED)
    return image


def _allow_processor_time(seconds: int) -> None:
    """Let this request have some seconds; the kernel ends the process that takes more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(int(sys.argv[1]))
