"""Decoding and encoding as a port: any accepted picture to plain sRGB pixels, and back to a file.

A decoded picture is upright (EXIF orientation applied), 8-bit sRGB (by the embedded profile, from CMYK and 16 bits
too), the first frame of an animation; an encoded one carries no metadata. `media_pool` does it in processes that may
be killed.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from infra.media.header import Format, VideoFormat
from processors.dispatch.pixels import Clip, Pixels

INPUT_PIXELS_MAX = 64_000_000
_WEBP_SIDE_MAX = 16_383
_JPEG_SIDE_MAX = 65_500


class InputUndecodable(Exception):
    """The picture is broken, hostile or too large: no attempt can decode it. The message is one sentence."""


class MediaUnavailable(Exception):
    """A decoding process was lost for reasons that may not be the picture's; another attempt may succeed."""


class Decoded(msgspec.Struct, frozen=True):
    """A picture's pixels and the format that they came in; whoever has it closes the pixels."""

    pixels: Pixels
    format: Format


class EncodedClip(msgspec.Struct, frozen=True):
    """A video file, and one of its frames as a JPEG."""

    content: bytes
    format: VideoFormat
    thumbnail: bytes


class Media(Protocol):
    """Every method may raise MediaUnavailable."""

    async def decode(self, content: bytes) -> Decoded:
        """Decode a JPEG, PNG, WebP or HEIC picture of at most INPUT_PIXELS_MAX. Raises InputUndecodable."""
        ...

    async def encode(self, pixels: Pixels, format: Format, label: str = "") -> bytes:
        """Encode as JPEG (quality 92, full colour resolution), PNG or WebP, without metadata but for the label."""
        ...

    async def encode_clip(self, clip: Clip, label: str = "") -> EncodedClip:
        """Encode as MP4 (H.264; WebM with VP9 where that codec is missing) with a thumbnail."""
        ...


def output_format(source: Format, width: int, height: int, channels: int, wanted: Format | None = None) -> Format:
    """Choose the format of a result: the wanted one, else the input's (JPEG for HEIC), else PNG: the first that can."""
    for form in (wanted, "jpeg" if source == "heic" else source):
        if form is not None and _holds(form, max(width, height), channels):
            return form
    return "png"


def _holds(form: Format, side: int, channels: int) -> bool:
    if form == "jpeg":
        return channels == 3 and side <= _JPEG_SIDE_MAX
    return form != "webp" or side <= _WEBP_SIDE_MAX
