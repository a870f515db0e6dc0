"""Good pixels under hostile metadata: EXIF, colour profiles and XMP that loop, lie, or hold other things."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from typing import Literal

from PIL import Image, ImageCms

from tests.hostile.chunks import exif, png_chunk, riff, riff_chunk, segment, vp8x, webp_chunks, with_png_chunks
from tests.hostile.chunks import with_segments as with_jpeg_segments
from tests.hostile.picture_damage import good
from tests.hostile.pictures import HostilePicture, Maker

_ORIENTATION, _SHORT = 0x0112, 3
_EXIF_FLAG, _ICC_FLAG, _XMP_FLAG = 0x08, 0x20, 0x04
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><x:xmpmeta>&j;</x:xmpmeta>"
)
_ENTITY = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x:xmpmeta>&a;</x:xmpmeta>'


def _with_exif(form: str, block: bytes) -> bytes:
    if form == "jpeg":
        return with_jpeg_segments(good(form), segment(0xE1, b"Exif\0\0" + block[:65_000]))
    if form == "png":
        return with_png_chunks(good(form), png_chunk(b"eXIf", block))
    return riff(vp8x(48, 32, _EXIF_FLAG), webp_chunks(good("webp")), riff_chunk(b"EXIF", block))


def _with_icc(form: str, profile: bytes) -> bytes:
    if form == "jpeg":
        return with_jpeg_segments(good(form), segment(0xE2, b"ICC_PROFILE\0\x01\x01" + profile[:65_000]))
    if form == "png":
        return with_png_chunks(good(form), png_chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)))
    return riff(vp8x(48, 32, _ICC_FLAG), riff_chunk(b"ICCP", profile), webp_chunks(good("webp")))


def _with_xmp(form: str, packet: bytes) -> bytes:
    if form == "jpeg":
        return with_jpeg_segments(good(form), segment(0xE1, _XMP_NAME + packet[:65_000]))
    if form == "png":
        return with_png_chunks(good(form), png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    return riff(vp8x(48, 32, _XMP_FLAG), webp_chunks(good("webp")), riff_chunk(b"XMP ", packet))


_BLOCKS: Mapping[str, bytes] = {
    "empty": b"",
    "cut": exif((_ORIENTATION, _SHORT, 1, 6))[:13],
    "nonsense": b"\xff" * 400,
    "orientation-0": exif((_ORIENTATION, _SHORT, 1, 0)),
    "orientation-9": exif((_ORIENTATION, _SHORT, 1, 9)),
    "orientation-65535": exif((_ORIENTATION, _SHORT, 1, 65_535)),
    "orientation-of-text": exif((_ORIENTATION, 2, 1, 6)),
    "orientation-of-many": exif((_ORIENTATION, _SHORT, 0xFFFFFFFF, 6)),
    "orientation-twice": exif((_ORIENTATION, _SHORT, 1, 6), (_ORIENTATION, _SHORT, 1, 3)),
    "65535-entries": exif((_ORIENTATION, _SHORT, 1, 6), entries_said=65_535),
    "loop": exif((_ORIENTATION, _SHORT, 1, 1), next_at=8),
    "loop-inside": exif((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)),
    "far-offset": exif((0x010E, 2, 4_000_000_000, 0xFFFFFFF0)),
    "directory-far-off": b"II*\0\xff\xff\xff\xff",
    "unknown-kinds": exif(*((0x0100 + tag, 99, 1, 1) for tag in range(64))),
    "script": exif((0x010E, 2, 4, 26)) + b"<script>alert(1)</script><?php system('id'); ?>",
}


def _profile(space: Literal["sRGB", "LAB"]) -> bytes:
    """A good profile, without the moment at which it was made."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
    return content[:24] + bytes(12) + content[36:]


def _profiles() -> Mapping[str, bytes]:
    srgb, lab = _profile("sRGB"), _profile("LAB")
    return {
        "empty": b"",
        "nonsense": b"\x00" * 600,
        "cut": srgb[:150],
        "said-4-gigabytes": b"\xff\xff\xff\xff" + srgb[4:],
        "of-another-space": lab,
        "said-cmyk": srgb[:16] + b"CMYK" + srgb[20:],
        "tags-far-off": srgb[:128] + b"\xff\xff\xff\xff" + srgb[132:],
        "a-megabyte": srgb + bytes(1 << 20),
    }


def _exifs() -> Iterator[HostilePicture]:
    for form in ("jpeg", "png", "webp"):
        for name, block in _BLOCKS.items():
            yield HostilePicture(f"exif/{form}-{name}", _with_exif(form, block), "taken")


def _orientations() -> Iterator[HostilePicture]:
    for form in ("jpeg", "png", "webp"):
        for orientation in range(1, 9):
            content = _with_exif(form, exif((_ORIENTATION, _SHORT, 1, orientation)))
            yield HostilePicture(f"orientation/{form}-{orientation}", content, "taken")


def _icc() -> Iterator[HostilePicture]:
    for form in ("jpeg", "png", "webp"):
        for name, profile in _profiles().items():
            yield HostilePicture(f"icc/{form}-{name}", _with_icc(form, profile), "taken")
    for part, parts in ((0, 0), (5, 2), (255, 255)):
        marked = segment(0xE2, b"ICC_PROFILE\0" + bytes((part, parts)) + b"x" * 300)
        yield HostilePicture(f"icc/jpeg-part-{part}-of-{parts}", with_jpeg_segments(good("jpeg"), marked), "taken")
    buffer = io.BytesIO()
    Image.new("CMYK", (32, 32), (9, 9, 9, 9)).save(buffer, "JPEG", icc_profile=_profile("sRGB"))
    yield HostilePicture("icc/jpeg-cmyk-under-rgb", buffer.getvalue(), "taken")


def _xmp() -> Iterator[HostilePicture]:
    packets = {"laughs": _LAUGHS, "entity": _ENTITY, "no-utf-8": b"<x:xmpmeta>\xff\xfe", "64-kb": b"<x>" * 21_000}
    for form in ("jpeg", "png", "webp"):
        for name, packet in packets.items():
            yield HostilePicture(f"xmp/{form}-{name}", _with_xmp(form, packet), "taken")


MAKERS: Mapping[str, Maker] = {"exif": _exifs, "orientation": _orientations, "icc": _icc, "xmp": _xmp}
