"""Every kind of picture comes out upright, 8-bit, sRGB, with its alpha; what is broken or hostile is refused."""

import asyncio
import io
import os
import signal
import struct
import zlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from infra.media.header import read_header
from processors.dispatch.media import Decoded, InputUndecodable, output_format
from processors.dispatch.media_pool import MediaPool, open_media_pool
from processors.dispatch.pixels import Pixels

Array = NDArray[np.uint8]


@pytest.fixture
async def pool() -> AsyncIterator[MediaPool]:
    async with open_media_pool(1) as opened:
        yield opened


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def quadrants() -> Image.Image:
    """Red, green over blue, white; wider than high."""
    image = Image.new("RGB", (48, 32))
    for x, y, colour in ((0, 0, "red"), (24, 0, "lime"), (0, 16, "blue"), (24, 16, "white")):
        image.paste(colour, (x, y, x + 24, y + 16))
    return image


async def decoded(pool: MediaPool, content: bytes) -> tuple[Array, Decoded]:
    result = await pool.decode(content)
    return result.pixels.array.copy(), result


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_every_orientation_comes_out_upright(pool: MediaPool, orientation: int, format: str) -> None:
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = quadrants() if undo is None else quadrants().transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(stored, format, exif=exif, **({"subsampling": 0, "quality": 95} if format == "JPEG" else {}))
    array, result = await decoded(pool, content)
    assert (result.pixels.width, result.pixels.height) == (48, 32)
    wanted = np.asarray(quadrants())
    for y, x in ((4, 4), (4, 40), (28, 4), (28, 40)):
        assert np.abs(array[y, x].astype(int) - wanted[y, x]).max() < 24
    header = read_header(content)
    assert (header.width, header.height, header.orientation) == (48, 32, orientation)


async def test_alpha_is_kept_straight(pool: MediaPool) -> None:
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 128))
    array, result = await decoded(pool, saved(image, "PNG"))
    assert result.pixels.channels == 4
    assert (array == (200, 100, 50, 128)).all()


async def test_a_palette_with_a_transparent_colour_gets_alpha(pool: MediaPool) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((0, 0), 0)
    array, _ = await decoded(pool, saved(image, "PNG", transparency=0))
    assert array[0, 0, 3] == 0
    assert tuple(array[1, 1]) == (0, 255, 0, 255)


def swapped_profile() -> bytes:
    """An sRGB profile whose red and green primaries are exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    places = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    at, size = struct.unpack_from(">II", profile, places[b"desc"] + 4)
    profile[at : at + size] = bytes(profile[at : at + size]).replace(b"s\0R\0G\0B", b"x\0x\0x\0x")
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
async def test_an_embedded_profile_is_applied(pool: MediaPool, mode: str) -> None:
    image = Image.new("RGB", (4, 4), (250, 10, 10)).convert(mode)
    array, _ = await decoded(pool, saved(image, "PNG", icc_profile=swapped_profile()))
    assert array[0, 0, 1] > 240
    assert array[0, 0, 0] < 40


async def test_a_broken_profile_is_ignored(pool: MediaPool) -> None:
    array, _ = await decoded(pool, saved(quadrants(), "PNG", icc_profile=b"no profile at all"))
    assert tuple(array[2, 2]) == (255, 0, 0)


async def test_cmyk_becomes_srgb(pool: MediaPool) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    array, result = await decoded(pool, saved(image, "JPEG", quality=95))
    assert result.pixels.channels == 3
    assert array[8, 8, 0] > 230
    assert array[8, 8, 1:].max() < 30


def png16(colour_type: int, rows: list[list[int]], samples: int) -> bytes:
    """A PNG of 16 bits a sample, which Pillow cannot write for colours."""
    raw = b"".join(b"\0" + struct.pack(f">{len(row)}H", *row) for row in rows)
    head = struct.pack(">IIBBBBB", len(rows[0]) // samples, len(rows), 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


async def test_16_bits_become_8(pool: MediaPool) -> None:
    grey, _ = await decoded(pool, png16(0, [[0, 257 * 100, 65535]] * 2, 1))
    assert grey[0].tolist() == [[0] * 3, [100] * 3, [255] * 3]
    colour, _ = await decoded(pool, png16(2, [[65535, 0, 257 * 80]] * 2, 3))
    assert np.abs(colour[0, 0].astype(int) - (255, 0, 80)).max() <= 1


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
async def test_of_an_animation_the_first_frame_counts(pool: MediaPool, format: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    content = saved(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
    array, result = await decoded(pool, content)
    assert (result.pixels.width, result.pixels.height) == (32, 32)
    assert array[16, 16, 0] > 240
    assert array[16, 16, 2] < 20


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
async def test_a_truncated_picture_is_refused_in_one_sentence(pool: MediaPool, format: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), format)
    with pytest.raises(InputUndecodable, match=r"^The picture is broken: .*\.$"):
        await pool.decode(content[: len(content) * 2 // 3])


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a\1\0\1\0\0\0\0;", b"\xff\xd8\xff" + bytes(40)])
async def test_what_is_no_picture_is_refused(pool: MediaPool, content: bytes) -> None:
    with pytest.raises(InputUndecodable):
        await pool.decode(content)


async def test_a_bomb_is_refused_by_its_header(pool: MediaPool) -> None:
    bomb = saved(Image.new("1", (9000, 9000)), "PNG")
    with pytest.raises(InputUndecodable, match="more than 64 megapixels"):
        await pool.decode(bomb)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
async def test_encoding_keeps_the_picture_and_no_metadata(pool: MediaPool, format: str) -> None:
    picture = np.asarray(quadrants().resize((96, 64), Image.Resampling.BICUBIC))
    with Pixels.of(picture) as pixels:
        content = await pool.encode(pixels, format)  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(content))
    assert image.format == format.upper()
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - picture).mean() < 4
    assert not image.getexif()
    assert "icc_profile" not in image.info


async def test_a_killed_process_costs_only_a_second_try() -> None:
    content = saved(Image.effect_noise((3000, 3000), 60).convert("RGB"), "PNG")
    async with open_media_pool(2) as pool:
        first = asyncio.create_task(pool.decode(content))
        second = asyncio.create_task(pool.decode(content))
        await asyncio.sleep(0.3)
        os.kill(pool.process_ids[0], signal.SIGKILL)
        for result in await asyncio.gather(first, second):
            assert (result.pixels.width, result.pixels.height) == (3000, 3000)


async def test_what_kills_every_process_is_the_pictures_own_fault(
    pool: MediaPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.dispatch.media_pool._DECODE_CPU_S_MAX", 0)
    noise = np.random.default_rng(2).integers(0, 255, (1000, 1000, 3), dtype=np.uint8)
    heavy = saved(Image.fromarray(np.tile(noise, (7, 7, 1))), "JPEG", progressive=True, quality=90)
    with pytest.raises(InputUndecodable, match="more memory or time"):
        await pool.decode(heavy)
    array, _ = await decoded(pool, saved(quadrants(), "PNG"))
    assert array.shape == (32, 48, 3)


async def test_a_cancelled_caller_gives_its_process_back(pool: MediaPool) -> None:
    content = saved(Image.effect_noise((2000, 2000), 60), "PNG")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pool.decode(content), 0.01)
    descriptors = len(os.listdir("/proc/self/fd"))
    array, result = await decoded(pool, saved(quadrants(), "PNG"))
    assert array.shape == (32, 48, 3)
    result.pixels.close()
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_the_result_has_the_formats_of_its_input_where_it_can_hold_it() -> None:
    assert output_format("jpeg", 4000, 3000, 3) == "jpeg"
    assert output_format("jpeg", 70_000, 100, 3) == "png"
    assert output_format("webp", 100, 100, 4) == "webp"
    assert output_format("webp", 16_384, 100, 4) == "png"
    assert output_format("png", 10, 10, 3) == "png"


def test_a_model_may_want_another_format_than_the_input_has() -> None:
    assert output_format("jpeg", 4000, 3000, 3, "webp") == "webp"
    assert output_format("jpeg", 20_000, 100, 3, "webp") == "jpeg"
    assert output_format("heic", 20_000, 100, 4, "webp") == "png"
    assert output_format("png", 40, 30, 4, "webp") == "webp"
    assert output_format("png", 40, 30, 4, "jpeg") == "png"
