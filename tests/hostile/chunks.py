"""Picture files put together by hand: chunks, segments and boxes that no encoder would write. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3


def png_chunk(name: bytes, content: bytes = b"") -> bytes:
    """One chunk with its right sum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    width: int,
    height: int,
    data: bytes | None = None,
    *,
    depth: int = 8,
    colour: int = GREY,
    interlace: int = 0,
    before: Iterable[bytes] = (),
    after: Iterable[bytes] = (),
) -> bytes:
    """A PNG whose header says what it likes; `data` is what IDAT unpacks to (default: nothing at all)."""
    header = struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, depth, colour, 0, 0, interlace)
    chunks = [png_chunk(b"IHDR", header), *before, png_chunk(b"IDAT", zlib.compress(data or b"", 9)), *after]
    return PNG_MAGIC + b"".join([*chunks, png_chunk(b"IEND")])


def zeros_packed(size: int) -> bytes:
    """`size` zero bytes as zlib packs them, a thousandth of that; never held in one piece."""
    packer, piece = zlib.compressobj(9), bytes(1 << 20)
    packed = [packer.compress(piece) for _ in range(size >> 20)]
    return b"".join([*packed, packer.compress(bytes(size & 0xFFFFF)), packer.flush()])


def png_packed(width: int, height: int, packed: bytes, depth: int = 8, before: Iterable[bytes] = ()) -> bytes:
    """A grey PNG around data that is packed already."""
    header = struct.pack(">IIBBBBB", width, height, depth, GREY, 0, 0, 0)
    return PNG_MAGIC + b"".join(
        [png_chunk(b"IHDR", header), *before, png_chunk(b"IDAT", packed), png_chunk(b"IEND")],
    )


def with_png_chunks(content: bytes, *chunks: bytes) -> bytes:
    """A good PNG with more chunks behind its header."""
    at = len(PNG_MAGIC) + 25
    return content[:at] + b"".join(chunks) + content[at:]


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG segment; its length is cut to what two bytes hold."""
    return bytes((0xFF, marker)) + struct.pack(">H", min(len(content) + 2, 0xFFFF)) + content


def with_segments(content: bytes, *segments: bytes) -> bytes:
    """A good JPEG with more segments behind its first two bytes."""
    return content[:2] + b"".join(segments) + content[2:]


def frame_at(content: bytes) -> int:
    """Where a JPEG's start of frame stands."""
    at = 2
    while content[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    return at


def with_frame(content: bytes, *, width: int, height: int, marker: int | None = None, depth: int = 8) -> bytes:
    """A good JPEG whose frame says another size, process or depth."""
    at, changed = frame_at(content), bytearray(content)
    changed[at + 1] = changed[at + 1] if marker is None else marker
    struct.pack_into(">BHH", changed, at + 4, depth, height, width)
    return bytes(changed)


def riff(*chunks: bytes) -> bytes:
    """A WebP container of these chunks."""
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def riff_chunk(name: bytes, content: bytes, said: int | None = None) -> bytes:
    """A chunk; `said` is the length that it claims."""
    size = len(content) if said is None else said
    return name + struct.pack("<I", size) + content + bytes(len(content) & 1)


def vp8x(width: int, height: int, flags: int = 0) -> bytes:
    """The extended header of a WebP picture of up to 2^24 by 2^24."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + size)


def webp_chunks(content: bytes) -> bytes:
    """What a WebP file holds behind its head, without an extended header."""
    body = content[12:]
    return body[18:] if body[:4] == b"VP8X" else body


def box(name: bytes, content: bytes, said: int | None = None) -> bytes:
    """A box of ISO/IEC 14496-12; `said` is the length that it claims."""
    return struct.pack(">I", len(content) + 8 if said is None else said) + name + content


def exif(*entries: tuple[int, int, int, int], entries_said: int | None = None, next_at: int = 0) -> bytes:
    """A TIFF block with one directory of (tag, kind, count, value) entries."""
    count = len(entries) if entries_said is None else entries_said
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, count) + body + struct.pack("<I", next_at)


def tiff(width: int, height: int, packed: bytes, *, compression: int = 8) -> bytes:
    """A grey TIFF of one strip."""
    entries = (
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 12 * 8 + 4), (278, 4, 1, height), (279, 4, 1, len(packed)),
    )  # fmt: skip
    return exif(*entries) + packed


def gif(width: int, height: int, frames: int = 1, trailer: bytes = b"") -> bytes:
    """A GIF of one-pixel frames on a screen of any size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\x01\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return screen + frame * frames + b"\x3b" + trailer
