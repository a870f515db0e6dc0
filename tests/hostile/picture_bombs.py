"""Pictures that are small on the wire and huge when they are believed: in pixels, in packed bytes, in frames."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping

from PIL import Image

from tests.hostile.chunks import (
    PALETTE,
    box,
    frame_at,
    gif,
    png,
    png_chunk,
    png_packed,
    riff,
    riff_chunk,
    segment,
    tiff,
    vp8x,
    webp_chunks,
    with_frame,
    with_png_chunks,
    zeros_packed,
)
from tests.hostile.picture_damage import good
from tests.hostile.pictures import HostilePicture, Maker
from tests.pictures import scene

_MOST = (1 << 31) - 1
_PIXELS_MAX = 64_000_000
_FRAMES = 3_000
_PNG_SIZES = (
    (0, 1), (1, 0), (0, 0), (1, _MOST), (_MOST, 1), (_MOST, _MOST), (1 << 31, 1 << 31), (0xFFFFFFFF, 0xFFFFFFFF),
    (65_535, 65_535), (8_001, 8_000), (_PIXELS_MAX + 1, 1), (1, _PIXELS_MAX + 1), (1 << 16, 1 << 16),
)  # fmt: skip
_JPEG_SIZES = ((0, 1), (1, 0), (0, 0), (65_535, 65_535), (8_001, 8_000), (65_535, 977))


def _pixels() -> Iterator[HostilePicture]:
    """Headers that say more pixels than are taken, or none."""
    for width, height in _PNG_SIZES:
        yield HostilePicture(f"pixels/png-{width}x{height}", png(width, height, bytes(64)), "refused")
    for form in ("jpeg", "jpeg-progressive"):
        for width, height in _JPEG_SIZES:
            content = with_frame(good(form), width=width, height=height)
            yield HostilePicture(f"pixels/{form}-{width}x{height}", content, "refused")
    for width, height in ((1 << 24, 1 << 24), (1 << 24, 4), (4, 1 << 24), (8_001, 8_000)):
        content = riff(vp8x(width, height), webp_chunks(good("webp")))
        yield HostilePicture(f"pixels/webp-{width}x{height}", content, "refused")
    lossless = riff(riff_chunk(b"VP8L", b"\x2f" + struct.pack("<I", 0x0FFFFFFF) + bytes(64)))
    yield HostilePicture("pixels/webp-lossless-16384x16384", lossless, "refused")
    for width, height in ((16_383, 16_383), (0, 0)):
        lossy = riff(riff_chunk(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(64)))
        yield HostilePicture(f"pixels/webp-lossy-{width}x{height}", lossy, "refused")
    for width, height in ((_MOST, _MOST), (0xFFFFFFFF, 0xFFFFFFFF), (8_001, 8_000)):
        yield HostilePicture(f"pixels/heic-{width}x{height}", _heic_of(width, height))  # `clap` cuts it to 48 by 32
        uncut = _heic_of(width, height).replace(b"clap", b"free")
        yield HostilePicture(f"pixels/heic-uncut-{width}x{height}", uncut, "refused")
    yield HostilePicture("pixels/heic-0x0", _heic_of(0, 0), "refused")
    yield HostilePicture("pixels/gif-65535x65535", gif(65_535, 65_535), "refused")
    yield HostilePicture("pixels/tiff-2147483647", tiff(_MOST, _MOST, b"x"), "refused")


def _heic_of(width: int, height: int) -> bytes:
    """A HEIC whose sizes are all replaced."""
    content = bytearray(good("heic"))
    at = content.find(b"ispe")
    while at >= 0:
        struct.pack_into(">II", content, at + 8, width, height)
        at = content.find(b"ispe", at + 1)
    return bytes(content)


def _lies() -> Iterator[HostilePicture]:
    """Headers within the limit over data that holds far less or far more."""
    yield HostilePicture("lies/png-64-megapixels-of-nothing", png(8_000, 8_000), "taken")
    yield HostilePicture("lies/png-one-row-of-64-megapixels", png(_PIXELS_MAX, 1, bytes(9)), "taken")
    yield HostilePicture("lies/png-one-column-of-64-megapixels", png(1, _PIXELS_MAX, bytes(9)), "taken")
    yield HostilePicture("lies/png-16-bits-64-megapixels", png(8_000, 8_000, bytes(99), depth=16, colour=6), "taken")
    yield HostilePicture("lies/jpeg-8000x8000", with_frame(good("jpeg"), width=8_000, height=8_000), "taken")
    yield HostilePicture("lies/jpeg-65500x970", with_frame(good("jpeg"), width=65_500, height=970), "taken")
    yield HostilePicture(
        "lies/jpeg-progressive-8000x8000", with_frame(good("jpeg-progressive"), width=8_000, height=8_000), "taken"
    )
    yield HostilePicture("lies/webp-8000x8000", riff(vp8x(8_000, 8_000), webp_chunks(good("webp"))), "taken")
    yield HostilePicture("lies/heic-8000x8000", _heic_of(8_000, 8_000))
    yield HostilePicture("lies/png-no-palette", png(8, 8, bytes(72), colour=PALETTE), "taken")
    for depth, colour in ((3, 0), (1, 2), (255, 255), (16, 3)):
        yield HostilePicture(
            f"lies/png-depth-{depth}-colour-{colour}", png(8, 8, bytes(72), depth=depth, colour=colour)
        )
    yield HostilePicture("lies/png-interlace-9", png(8, 8, bytes(72), interlace=9))
    for marker in (0xC1, 0xC3, 0xC5, 0xC9, 0xCA, 0xCF):
        content = with_frame(good("jpeg"), width=48, height=32, marker=marker)
        yield HostilePicture(f"lies/jpeg-process-{marker:x}", content)
    yield HostilePicture("lies/jpeg-12-bits", with_frame(good("jpeg"), width=48, height=32, depth=12))


def _packed() -> Iterator[HostilePicture]:
    """A thousand bytes for each that is sent."""
    bomb = zeros_packed(64 << 20)
    yield HostilePicture("packed/png-far-too-much-data", png_packed(64, 64, bomb), "taken")
    yield HostilePicture("packed/png-60-megapixels", png_packed(7_700, 7_800, zeros_packed(7_701 * 7_800)), "taken")
    yield HostilePicture(
        "packed/png-one-bit-63-megapixels", png_packed(7_992, 7_990, zeros_packed(8_000_000), 1), "taken"
    )
    text = zeros_packed(48 << 20)
    for name, content in ((b"zTXt", b"k\0\0"), (b"iCCP", b"p\0\0"), (b"iTXt", b"k\0\x01\0\0\0")):
        chunks = [png_chunk(name, content + text)]
        yield HostilePicture(f"packed/png-{name.decode()}", with_png_chunks(good("png"), *chunks), "taken")
    many = [png_chunk(b"tEXt", b"k\0" + bytes((65 + number % 26,)) * 40) for number in range(20_000)]
    yield HostilePicture("packed/png-20000-texts", with_png_chunks(good("png"), *many), "taken")
    yield HostilePicture("packed/tiff-deflate", tiff(64_000, 64_000, bomb), "refused")
    yield HostilePicture("packed/jpeg-24-megapixels", _flat("JPEG", 6_000, 4_000), "taken")
    yield HostilePicture("packed/webp-20-megapixels", _flat("WEBP", 5_000, 4_000), "taken")
    yield HostilePicture("packed/jpeg-250-scans", _many_scans(250), "taken")
    yield HostilePicture("packed/gif-many-frames-huge-screen", gif(65_535, 65_535, _FRAMES), "refused")


def _flat(form: str, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), 90).convert("RGB" if form == "WEBP" else "L").save(
        buffer, form, quality=10, method=0
    )
    return buffer.getvalue()


def _many_scans(count: int) -> bytes:
    """A progressive JPEG that repeats its last scan: each one passes over all of the picture again."""
    whole = good("jpeg-progressive", 640, 480)
    last = whole.rfind(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + whole[-2:]


def _frames() -> Iterator[HostilePicture]:
    """Animations; of those that are taken the first frame counts."""
    control = struct.pack(">II", _FRAMES, 0)
    frame = struct.pack(">IIIIIHHBB", 0, 48, 32, 0, 0, 1, 100, 0, 0)
    animated = [png_chunk(b"acTL", control), png_chunk(b"fcTL", frame)]
    rest = b"".join(
        png_chunk(b"fcTL", struct.pack(">I", 2 * number + 1) + frame[4:])
        + png_chunk(b"fdAT", struct.pack(">I", 2 * number + 2) + b"\x78\x9c\x03\x00\x00\x00\x00\x01")
        for number in range(_FRAMES)
    )
    whole = with_png_chunks(good("png"), *animated)
    yield HostilePicture("frames/png-3000", whole[:-12] + rest + whole[-12:], "taken")
    yield HostilePicture("frames/webp-3000", _webp_of_frames(_FRAMES), "taken")
    yield HostilePicture("frames/webp-none", riff(vp8x(48, 32, 2), riff_chunk(b"ANIM", bytes(6))), "taken")
    yield HostilePicture("frames/webp-in-itself", _webp_in_itself(200))
    yield HostilePicture("frames/gif-3000", gif(48, 32, _FRAMES), "refused")
    yield HostilePicture("frames/heic-sequence", b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc" + good("heic")[24:])
    yield HostilePicture("frames/jpeg-of-jpegs", good("jpeg") + good("jpeg")[2:] * 2_000, "taken")


def _frame(content: bytes) -> bytes:
    """An ANMF chunk around a WebP's picture."""
    place = bytes(6) + (47).to_bytes(3, "little") + (31).to_bytes(3, "little") + bytes(4)
    return riff_chunk(b"ANMF", place + content)


def _webp_of_frames(count: int) -> bytes:
    picture = webp_chunks(good("webp"))
    return riff(vp8x(48, 32, 2), riff_chunk(b"ANIM", bytes(6)), *[_frame(picture)] * count)


def _webp_in_itself(depth: int) -> bytes:
    content = webp_chunks(good("webp"))
    for _ in range(depth):
        content = _frame(content)
    return riff(vp8x(48, 32, 2), riff_chunk(b"ANIM", bytes(6)), content)


def _boxes() -> Iterator[HostilePicture]:
    """HEIC whose boxes lie about their lengths, their items and what they hold."""
    whole = good("heic")
    for name in (b"meta", b"hdlr", b"pitm", b"iloc", b"iinf", b"iprp", b"ipco", b"ipma", b"hvcC", b"ispe", b"mdat"):
        at = whole.find(name) - 4
        for said in (0, 1, 7, 0x7FFFFFFF):
            changed = whole[:at] + struct.pack(">I", said) + whole[at + 4 :]
            yield HostilePicture(f"boxes/{name.decode()}-{said}", changed)
    head = whole[: whole.find(b"meta") - 4]
    deep = b""
    for _ in range(5_000):
        deep = box(b"meta", deep)
    yield HostilePicture("boxes/deep", head + deep, "refused")
    yield HostilePicture("boxes/many", head + box(b"free", b"") * 100_000 + whole[len(head) :])
    yield HostilePicture("boxes/only-a-name", head, "refused")
    for brand in (b"avif", b"avis", b"isom", b"jxl ", b"qt  "):
        yield HostilePicture(f"boxes/brand-{brand.decode().strip()}", whole[:8] + brand + whole[12:], "refused")
    for brand in (b"heix", b"hevc", b"mif1"):
        yield HostilePicture(f"boxes/brand-{brand.decode()}", whole[:8] + brand + whole[12:])


def _segments() -> Iterator[HostilePicture]:
    """JPEG whose segments lie."""
    whole = good("jpeg")
    at = frame_at(whole)
    yield HostilePicture("segments/length-0", whole[:2] + b"\xff\xe1\0\0" + whole[2:], "refused")
    yield HostilePicture("segments/length-1", whole[:2] + b"\xff\xe1\0\x01" + whole[2:], "refused")
    yield HostilePicture("segments/fills", whole[:2] + b"\xff" * 500_000 + whole[2:])
    yield HostilePicture("segments/comments", whole[:2] + segment(0xFE, b"x" * 9_000) * 100 + whole[2:], "taken")
    yield HostilePicture("segments/two-frames", whole[:at] + whole[at : at + 19] * 2 + whole[at + 19 :], "taken")
    yield HostilePicture("segments/no-tables", whole[:2] + whole[at:], "taken")
    yield HostilePicture("segments/200-parts", whole[: at + 9] + b"\xc8" + whole[at + 10 :], "taken")
    many = scene(640, 480)
    buffer = io.BytesIO()
    many.save(buffer, "JPEG", restart_marker_blocks=1)
    yield HostilePicture("segments/restarts", buffer.getvalue(), "taken")


MAKERS: Mapping[str, Maker] = {
    "pixels": _pixels,
    "lies": _lies,
    "packed": _packed,
    "frames": _frames,
    "boxes": _boxes,
    "segments": _segments,
}
