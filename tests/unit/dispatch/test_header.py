"""Headers: format and size as shown, from few bytes, whatever they are."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from infra.media.header import HeaderUnreadable, ImageHeader, exif_orientation, read_header, sniff


def saved(format: str, size: tuple[int, int] = (31, 17), mode: str = "RGB", **options: object) -> bytes:
    target = io.BytesIO()
    Image.new(mode, size).save(target, format, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (saved("JPEG"), "jpeg"),
        (saved("JPEG", progressive=True), "jpeg"),
        (saved("JPEG", icc_profile=bytes(200_000)), "jpeg"),
        (saved("PNG"), "png"),
        (saved("PNG", mode="1"), "png"),
        (saved("WEBP"), "webp"),
        (saved("WEBP", lossless=True), "webp"),
        (saved("WEBP", mode="RGBA"), "webp"),
        (saved("WEBP", icc_profile=bytes(100)), "webp"),
    ],
)
def test_format_and_size(content: bytes, format: str) -> None:
    assert sniff(content[:12]) == format
    assert read_header(content) == ImageHeader(format, 31, 17)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_on_its_side_is_as_large_as_it_is_shown(format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(format, exif=exif)
    assert read_header(content) == ImageHeader(format.lower(), 17, 31, 6)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"GIF89a" + bytes(20), b"RIFF\0\0\0\0WAVE", b"%PDF-1.7"])
def test_anything_else_is_refused(content: bytes) -> None:
    assert sniff(content[:12]) is None
    with pytest.raises(HeaderUnreadable, match="no JPEG, PNG, WebP or HEIC"):
        read_header(content)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_prefix_is_read_or_refused(format: str) -> None:
    content = saved(format)
    known = {(31, 17)}
    for length in range(12, len(content)):
        try:
            header = read_header(content[:length])
        except HeaderUnreadable:
            continue
        assert (header.width, header.height) in known


def test_no_pixels_are_refused() -> None:
    content = bytearray(saved("PNG"))
    struct.pack_into(">I", content, 16, 0)
    with pytest.raises(HeaderUnreadable, match="no pixels"):
        read_header(bytes(content))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@given(data=st.data())
def test_hostile_bytes_are_never_worse_than_unreadable(format: str, data: st.DataObject) -> None:
    content = bytearray(saved(format, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0"))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = read_header(bytes(content))
    except HeaderUnreadable:
        return
    assert header.width > 0
    assert header.height > 0
    assert 1 <= header.orientation <= 8


@given(st.binary(max_size=200))
def test_an_orientation_is_1_to_8_whatever_the_block_says(block: bytes) -> None:
    assert 1 <= exif_orientation(b"II*\0" + block) <= 8
    assert 1 <= exif_orientation(b"MM\0*" + block) <= 8
    assert exif_orientation(block[:3]) == 1
