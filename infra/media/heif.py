"""The size of a HEIC or HEIF picture out of its boxes (ISO/IEC 14496-12 and 23008-12), without decoding a pixel.

The primary item's `ispe` property says its size; what transforms it comes in order: `clap` cuts it (encoders fill up
to whole blocks first), `irot` may lay it on its side. Raises struct.error or IndexError where the boxes end early,
ValueError where they make no sense.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_BOXES_MAX = 4096


def is_heif(first_bytes: bytes) -> bool:
    """Whether a file's first 12 bytes are those of a HEIC or HEIF picture."""
    return first_bytes[4:8] == b"ftyp" and first_bytes[8:12] in BRANDS


def heif_size(content: bytes) -> tuple[int, int]:
    """(width, height) in pixels as shown."""
    meta = _child(content, 0, len(content), b"meta")
    start, end = meta[0] + 4, meta[1]
    primary = _primary(content, *_child(content, start, end, b"pitm"))
    properties = _child(content, start, end, b"iprp")
    kept = [(name, at) for name, at, _ in _boxes(content, *_child(content, *properties, b"ipco"))]
    own = [kept[number - 1] for number in _properties_of(content, primary, *_child(content, *properties, b"ipma"))]
    at_size = next((at for name, at in own if name == b"ispe"), None)
    if at_size is None:
        raise ValueError("the primary item has no size")
    width, height = struct.unpack_from(">II", content, at_size + 4)
    for name, at in own:
        if name == b"clap":
            width, height = _cut(width, height, *struct.unpack_from(">IIII", content, at))
        elif name == b"irot" and content[at] & 1:
            width, height = height, width
    return width, height


def _cut(width: int, height: int, across: int, across_of: int, down: int, down_of: int) -> tuple[int, int]:
    """What a clean aperture of these fractions leaves."""
    if not across_of or not down_of:
        raise ValueError("the clean aperture has no size")
    return min(width, across // across_of), min(height, down // down_of)


def _boxes(content: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of each box's content."""
    for _ in range(_BOXES_MAX):
        if at + 8 > min(end, len(content)):
            return
        length, name = struct.unpack_from(">I4s", content, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", content, start)
            start += 8
        stop = end if length == 0 else at + length
        if stop < start:
            raise ValueError("a box is shorter than its head")
        yield name, start, stop
        at = stop


def _child(content: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int]:
    for name, begin, stop in _boxes(content, start, end):
        if name == wanted:
            return begin, stop
    raise IndexError(f"there is no box {wanted!r}")


def _primary(content: bytes, start: int, _: int) -> int:
    (number,) = struct.unpack_from(">I" if content[start] else ">H", content, start + 4)
    return int(number)


def _properties_of(content: bytes, item: int, start: int, end: int) -> list[int]:
    """Numbers (from 1) of the properties of an item, out of `ipma`."""
    wide = bool(content[start + 3] & 1)
    form = ">IB" if content[start] else ">HB"
    (count,) = struct.unpack_from(">I", content, start + 4)
    at = start + 8
    for _ in range(min(count, _BOXES_MAX)):
        if at >= end:
            break
        number, held = struct.unpack_from(form, content, at)
        at += struct.calcsize(form)
        if number == item:
            raw = struct.unpack_from(f">{held}{'H' if wide else 'B'}", content, at)
            return [value & (0x7FFF if wide else 0x7F) for value in raw]
        at += held * (2 if wide else 1)
    raise IndexError("the primary item has no properties")
