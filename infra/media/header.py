"""What a picture's first bytes say: its format and size, without decoding a pixel.

Sizes are as the picture is shown: an EXIF orientation that lies on its side swaps width and height, just as decoding
does later. Pure; hostile bytes give `HeaderUnreadable` and never cost more than one walk over the chunks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

import msgspec

from infra.media.heif import heif_size, is_heif

Format = Literal["jpeg", "png", "webp", "heic"]
VideoFormat = Literal["mp4", "webm"]

SNIFF_BYTES = 12
CONTENT_TYPES: dict[Format, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "heic": "image/heic",
}
VIDEO_CONTENT_TYPES: dict[VideoFormat, str] = {"mp4": "video/mp4", "webm": "video/webm"}

_PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_APP1 = 0xE1
_BARE_MARKERS = frozenset(range(0xD0, 0xD9)) | {0x01}
_ORIENTATION_TAG = 0x0112
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})


class HeaderUnreadable(ValueError):
    """The bytes are no picture of a known format, or end before its size."""


class ImageHeader(msgspec.Struct, frozen=True):
    """Format, and size in pixels as shown; `orientation` is EXIF's 1 to 8."""

    format: Format
    width: int
    height: int
    orientation: int = 1


def sniff(first_bytes: bytes) -> Format | None:
    """Name the format by its first SNIFF_BYTES, or None."""
    if first_bytes.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if first_bytes.startswith(_PNG):
        return "png"
    if first_bytes[:4] == b"RIFF" and first_bytes[8:12] == b"WEBP":
        return "webp"
    if is_heif(first_bytes):
        return "heic"
    return None


def read_header(content: bytes) -> ImageHeader:
    """Read the header; a prefix is enough if the size stands in it (an orientation behind it is then not seen).

    Raises HeaderUnreadable.
    """
    readers = {"jpeg": _read_jpeg, "png": _read_png, "webp": _read_webp, "heic": _read_heic}
    found = sniff(content[:SNIFF_BYTES])
    if found is None:
        raise HeaderUnreadable("the bytes are no JPEG, PNG, WebP or HEIC picture")
    try:
        width, height, orientation = readers[found](content)
    except (struct.error, IndexError) as error:
        raise HeaderUnreadable(f"the {found} picture ends before its size") from error
    if width == 0 or height == 0:
        raise HeaderUnreadable(f"the {found} picture says that it has no pixels")
    if orientation in _ON_ITS_SIDE:
        width, height = height, width
    return ImageHeader(found, width, height, orientation)


def _read_jpeg(content: bytes) -> tuple[int, int, int]:
    at, orientation = 2, 1
    while True:
        if content[at] != 0xFF:
            raise HeaderUnreadable("the jpeg picture has bytes where a marker should be")
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _BARE_MARKERS:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height, orientation
        if marker == _START_OF_SCAN or length < 2:
            raise HeaderUnreadable("the jpeg picture has no size")
        if marker == _APP1 and content[at + 4 : at + 10] == b"Exif\0\0":
            orientation = exif_orientation(content[at + 10 : at + 2 + length])
        at += 2 + length


def _read_png(content: bytes) -> tuple[int, int, int]:
    length, kind, width, height = struct.unpack_from(">I4sII", content, 8)
    if kind != b"IHDR" or length != 13:
        raise HeaderUnreadable("the png picture does not begin with its header")
    for name, start, size in _chunks(content, 8, ">I4s", name_first=False, padding=0, trailer=4):
        if name == b"eXIf":
            return width, height, exif_orientation(content[start : start + size])
    return width, height, 1


def _read_webp(content: bytes) -> tuple[int, int, int]:
    size: tuple[int, int] | None = None
    for name, start, length in _chunks(content, 12, "<4sI", name_first=True, padding=1, trailer=0):
        if size is None:
            size = _webp_size(name, content, start)
        if name == b"EXIF":
            exif = content[start : start + length].removeprefix(b"Exif\0\0")
            return (*size, exif_orientation(exif))
    if size is None:
        raise HeaderUnreadable("the webp picture ends before its size")
    return (*size, 1)


def _read_heic(content: bytes) -> tuple[int, int, int]:
    try:
        return (*heif_size(content), 1)  # turned by its own boxes; an orientation in its EXIF does not count
    except ValueError as error:
        raise HeaderUnreadable(f"the heic picture makes no sense: {error}") from error


def _webp_size(name: bytes, content: bytes, start: int) -> tuple[int, int]:
    if name == b"VP8X":
        width, height = content[start + 4 : start + 7], content[start + 7 : start + 10]
        if len(height) == 3:
            return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if name == b"VP8L" and content[start] == 0x2F:
        (bits,) = struct.unpack_from("<I", content, start + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 " and content[start + 3 : start + 6] == b"\x9d\x01\x2a":
        width_bits, height_bits = struct.unpack_from("<HH", content, start + 6)
        return width_bits & 0x3FFF, height_bits & 0x3FFF
    raise HeaderUnreadable("the webp picture does not begin with its size")


def _chunks(
    content: bytes, at: int, head: str, *, name_first: bool, padding: int, trailer: int
) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, length) of each chunk whose head is within `content`."""
    while at + 8 <= len(content):
        first, second = struct.unpack_from(head, content, at)
        name, length = (first, second) if name_first else (second, first)
        yield name, at + 8, length
        at += 8 + length + (length & padding) + trailer


def exif_orientation(exif: bytes) -> int:
    """Read the orientation from a TIFF block; 1 where there is none or the block makes no sense."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", exif, directory + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return int(value) if kind == 3 and count == 1 and 1 <= value <= 8 else 1
    except struct.error:
        pass  # a block that ends early has no orientation
    return 1
