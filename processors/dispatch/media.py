"""Decoding and encoding as a port: any accepted picture to plain sRGB pixels, and back to a file.

A decoded picture is upright (EXIF orientation applied), 8-bit sRGB (by the embedded profile, from CMYK and 16 bits
too), the first frame of an animation; an encoded one carries no metadata. `media_pool` does it in processes that may
be killed.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from infra.media.header import Format
from processors.dispatch.pixels import Pixels

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


class Media(Protocol):
    """Both methods may raise MediaUnavailable."""

    async def decode(self, content: bytes) -> Decoded:
        """Decode a JPEG, PNG or WebP picture of at most INPUT_PIXELS_MAX. Raises InputUndecodable."""
        ...

    async def encode(self, pixels: Pixels, format: Format) -> bytes:
        """Encode as JPEG (quality 92, full colour resolution), PNG or WebP, without metadata."""
        ...


def output_format(source: Format, width: int, height: int, channels: int) -> Format:
    """Choose the format of a result: the input's, or PNG where that cannot hold it."""
    if source == "jpeg" and (channels == 4 or max(width, height) > _JPEG_SIDE_MAX):
        return "png"
    if source == "webp" and max(width, height) > _WEBP_SIDE_MAX:
        return "png"
    return source
