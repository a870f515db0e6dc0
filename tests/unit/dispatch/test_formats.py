"""What phones and printers send: HEIC, CMYK with its profile; and what goes out: labels, videos that play."""

import io
import struct
from collections.abc import AsyncIterator

import av
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from infra.media.header import HeaderUnreadable, read_header, sniff
from processors.dispatch.media import InputUndecodable, output_format
from processors.dispatch.media_pool import MediaPool, open_media_pool
from processors.dispatch.pixels import Clip, Pixels

LABEL = "Procedural picture: drawn by rules"


@pytest.fixture
async def pool() -> AsyncIterator[MediaPool]:
    async with open_media_pool(1) as opened:
        yield opened


def picture(width: int = 96, height: int = 64) -> Image.Image:
    """Red left, blue right, white below."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    image.paste("white", (0, height * 3 // 4, width, height))
    return image


def heic(image: Image.Image, **options: object) -> bytes:
    target = io.BytesIO()
    pillow_heif.from_pillow(image).save(target, quality=90, **options)
    return target.getvalue()


async def test_heic_is_decoded_and_its_size_known_at_the_edge(pool: MediaPool) -> None:
    content = heic(picture())
    header = read_header(content)
    assert (header.format, header.width, header.height) == ("heic", 96, 64)
    decoded = await pool.decode(content)
    with decoded.pixels as pixels:
        assert (decoded.format, pixels.width, pixels.height) == ("heic", 96, 64)
        for (y, x), wanted in (((20, 10), (255, 0, 0)), ((20, 80), (0, 0, 255)), ((60, 10), (255, 255, 255))):
            assert np.abs(pixels.array[y, x].astype(int) - wanted).max() < 24


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (97, 65), (400, 30)])
async def test_a_heic_that_fills_no_whole_blocks_has_its_own_size(pool: MediaPool, size: tuple[int, int]) -> None:
    content = heic(picture(*size))
    header = read_header(content)
    decoded = await pool.decode(content)
    with decoded.pixels as pixels:
        assert (header.width, header.height) == (pixels.width, pixels.height) == size


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
async def test_a_turned_heic_is_upright_with_the_size_that_the_edge_said(pool: MediaPool, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture()
    image.info["exif"] = exif.tobytes()
    content = heic(image)
    header = read_header(content)
    decoded = await pool.decode(content)
    with decoded.pixels as pixels:
        assert (header.width, header.height) == (pixels.width, pixels.height)
        assert (b"irot" in content) == (orientation > 1), "turned by a box, as phones do it"


async def test_deep_heic_becomes_8_bits(pool: MediaPool) -> None:
    deep = np.full((64, 64, 3), (65535, 0, 32896), np.uint16)
    target = io.BytesIO()
    file = pillow_heif.from_bytes(mode="RGB;16", size=(64, 64), data=deep.tobytes())
    file.save(target, quality=95)
    decoded = await pool.decode(target.getvalue())
    with decoded.pixels as pixels:
        assert np.abs(pixels.array[32, 32].astype(int) - (255, 0, 128)).max() < 12


async def test_broken_heic_is_refused(pool: MediaPool) -> None:
    content = heic(picture())
    for cut in (16, 40, 120):
        with pytest.raises(HeaderUnreadable):
            read_header(content[:cut])
    with pytest.raises(InputUndecodable):
        await pool.decode(content[: len(content) // 2])
    random = np.random.default_rng(5)
    for _ in range(200):
        hostile = bytearray(content)
        for at in random.integers(8, min(len(content), 400), 12):
            hostile[at] = int(random.integers(256))
        try:
            read_header(bytes(hostile))
        except HeaderUnreadable:
            continue
    assert sniff(b"\0\0\0\x1cftypavif") is None


def cmyk_profile() -> bytes:
    """A CMYK profile in which pure cyan means Lab (50, 60, 40): no one can take it for the plain conversion."""
    grid = bytearray()
    for node in range(16):
        cyan, _, _, black = (node >> 3) & 1, (node >> 2) & 1, (node >> 1) & 1, node & 1
        lightness, a, b = (0, 0, 0) if black else (50, 60, 40) if cyan else (100, 0, 0)
        grid += bytes((round(lightness * 2.55), a + 128, b + 128))
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if n in (0, 4, 8) else 0 for n in range(9)))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + ramp * 4 + bytes(grid) + ramp * 3
    lut += bytes(-len(lut) % 4)
    words = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"Test\0" + bytes(78)
    words += bytes(-len(words) % 4)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags = [(b"desc", words), (b"wtpt", white), (b"A2B0", lut), (b"cprt", b"text\0\0\0\0none")]
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


async def test_cmyk_is_converted_by_its_embedded_profile(pool: MediaPool) -> None:
    target = io.BytesIO()
    Image.new("CMYK", (32, 32), (255, 0, 0, 0)).save(target, "JPEG", quality=95, icc_profile=cmyk_profile())
    decoded = await pool.decode(target.getvalue())
    with decoded.pixels as pixels:
        red, green, blue = (int(v) for v in pixels.array[16, 16])
    assert red > 170, "Lab (50, 60, 40) is a red, plain cyan is not"
    assert green < 90
    assert blue < 90


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
async def test_a_label_stands_in_the_file(pool: MediaPool, format: str) -> None:
    with Pixels.of(np.asarray(picture())) as pixels:
        content = await pool.encode(pixels, format, LABEL)  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(content))
    image.load()
    assert (image.info.get("Description") or image.getexif().get(0x010E)) == LABEL


def test_heic_results_become_jpeg_or_png() -> None:
    assert output_format("heic", 4000, 3000, 3) == "jpeg"
    assert output_format("heic", 4000, 3000, 4) == "png"


async def test_a_video_plays(pool: MediaPool) -> None:
    strip = Pixels.blank(96, 64 * 24, 3)
    with Clip(strip, 24, 12) as clip:
        for number in range(24):
            clip.frames[number] = number * 10
        made = await pool.encode_clip(clip, LABEL)
    with av.open(io.BytesIO(made.content), "r") as container:
        stream = container.streams.video[0]
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert (stream.width, stream.height, float(stream.average_rate or 0)) == (96, 64, 12.0)
        assert container.metadata["comment"] == LABEL
    assert made.format == "mp4"
    assert len(shown) == 24
    assert all(abs(float(frame.mean()) - number * 10) < 6 for number, frame in enumerate(shown))
    assert Image.open(io.BytesIO(made.thumbnail)).size == (96, 64)
