"""Pictures that were good once: cut off, with flipped bytes, or random from the start under the right magic."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping

import numpy as np
import pillow_heif
from PIL import Image

from tests.hostile.chunks import PNG_MAGIC
from tests.hostile.pictures import HostilePicture, Maker
from tests.pictures import scene

_FLIPS = 12
_CUTS = (1, 2, 3, 4, 8, 11, 12, 16, 20, 24, 29, 33, 41, 57)
_PARTS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
MAGIC: Mapping[str, bytes] = {
    "jpeg": b"\xff\xd8\xff\xe0",
    "png": PNG_MAGIC,
    "webp": b"RIFF\xff\xff\x00\x00WEBPVP8 ",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0heicmif1",
    "gif": b"GIF89a",
    "tiff": b"II*\0\x08\0\0\0",
}


@functools.cache
def good(form: str, width: int = 48, height: int = 32) -> bytes:
    """A whole picture of a format; `webp-lossless` and `jpeg-progressive` are formats too."""
    buffer, picture = io.BytesIO(), scene(width, height)
    if form == "heic":
        pillow_heif.from_pillow(picture).save(buffer, quality=70)
    elif form == "webp-lossless":
        picture.save(buffer, "WEBP", lossless=True)
    elif form == "jpeg-progressive":
        picture.save(buffer, "JPEG", progressive=True)
    else:
        picture.save(buffer, form.upper())
    return buffer.getvalue()


def _truncations() -> Iterator[HostilePicture]:
    for form in ("jpeg", "jpeg-progressive", "png", "webp", "webp-lossless", "heic", "gif", "tiff"):
        whole = good(form)
        cuts = {*_CUTS, *(int(len(whole) * part) for part in _PARTS), len(whole) - 12, len(whole) - 1}
        for cut in sorted(cut for cut in cuts if cut < len(whole)):
            unsure = cut >= 12 and form not in ("gif", "tiff")
            yield HostilePicture(f"truncation/{form}-{cut}", whole[:cut], "either" if unsure else "refused")
    yield HostilePicture("truncation/nothing", b"", "refused")


def _flips() -> Iterator[HostilePicture]:
    for form in ("jpeg", "png", "webp", "webp-lossless", "heic"):
        numbers = np.random.default_rng(len(form))
        for number in range(_FLIPS):
            changed = bytearray(good(form))
            for at in numbers.integers(0, len(changed), 1 + number):
                changed[int(at)] ^= 1 << int(numbers.integers(8))
            yield HostilePicture(f"flips/{form}-{number}", bytes(changed))


def _noise() -> Iterator[HostilePicture]:
    numbers = np.random.default_rng(7)
    for form, magic in MAGIC.items():
        for size in (0, 64, 4_000, 300_000):
            fate = "refused" if form in ("gif", "tiff", "png", "heic") else "either"
            content = magic + numbers.bytes(size)
            yield HostilePicture(f"noise/{form}-{size}", content, fate)  # type: ignore[arg-type]


def _joins() -> Iterator[HostilePicture]:
    """Two pictures in one, and one with rubbish behind it."""
    for form in ("jpeg", "png", "webp", "heic"):
        yield HostilePicture(f"joins/{form}-twice", good(form) * 2, "taken")
        yield HostilePicture(f"joins/{form}-and-a-megabyte", good(form) + bytes(1 << 20), "taken")
        half = len(good(form)) // 2
        yield HostilePicture(f"joins/{form}-into-png", good(form)[:half] + good("png")[half:])


def _depths() -> Iterator[HostilePicture]:
    """Good pictures of the rare kinds: their pixels have to be brought to eight bits of RGB."""
    wide = np.linspace(0, 65535, 48 * 32).reshape(32, 48).astype(np.uint16)
    picture = scene(48, 32)
    made: list[tuple[str, Image.Image, str]] = [
        ("grey-16", Image.fromarray(wide), "PNG"),
        ("grey-1", picture.convert("1"), "PNG"),
        ("grey-alpha", picture.convert("LA"), "PNG"),
        ("palette", picture.quantize(17), "PNG"),
        ("alpha", picture.convert("RGBA"), "PNG"),
        ("alpha-webp", picture.convert("RGBA"), "WEBP"),
        ("cmyk", picture.convert("CMYK"), "JPEG"),
        ("grey-jpeg", picture.convert("L"), "JPEG"),
        ("one-pixel", scene(1, 1), "PNG"),
        ("one-row", scene(4000, 1), "JPEG"),
        ("one-column", scene(1, 4000), "PNG"),
    ]
    for name, image, form in made:
        buffer = io.BytesIO()
        image.save(buffer, form)
        yield HostilePicture(f"depths/{name}", buffer.getvalue(), "taken")
    yield HostilePicture("depths/cmyk-inverted", _inverted_cmyk(), "taken")


def _inverted_cmyk() -> bytes:
    """As Adobe writes it: an APP14 that says YCCK over four inks."""
    buffer = io.BytesIO()
    scene(48, 32).convert("CMYK").save(buffer, "JPEG")
    content = buffer.getvalue()
    at = content.find(b"Adobe")
    return content if at < 0 else content[: at + 11] + b"\x02" + content[at + 12 :]


MAKERS: Mapping[str, Maker] = {
    "truncation": _truncations,
    "flips": _flips,
    "noise": _noise,
    "joins": _joins,
    "depths": _depths,
}
