"""The hostile pictures themselves, and what becomes of each where pictures are read and decoded."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest

from infra.media.header import HeaderUnreadable, read_header
from ingest.pictures import FILE_BYTES_MAX, PIXELS_MAX
from processors.dispatch.media import InputUndecodable
from processors.dispatch.media_pool import open_media_pool
from tests.hostile.pictures import HostilePicture, hostile_pictures

LEAST = 300
_DIGEST = "from tests.hostile.test_pictures import digest; print(digest())"


def digest() -> str:
    """One sum over all names and bytes."""
    hashed = hashlib.sha256()
    for picture in hostile_pictures():
        hashed.update(repr(picture[:1]).encode() + hashlib.sha256(picture.content).digest())
    return hashed.hexdigest()


def test_they_are_many_and_each_is_another() -> None:
    pictures = hostile_pictures()
    assert len({picture.name for picture in pictures}) == len(pictures) >= LEAST
    assert len({(picture.content, picture.file_name, picture.content_type) for picture in pictures}) >= LEAST
    kinds = Counter(picture.kind for picture in pictures)
    assert min(kinds.values()) >= 7, kinds
    assert all(len(picture.content) <= FILE_BYTES_MAX for picture in pictures), "a larger one tests the size alone"


def test_another_process_makes_the_same_ones() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    argv = (sys.executable, "-c", _DIGEST)
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == digest(), ran.stderr


@pytest.mark.parametrize("fate", ["taken", "refused"])
def test_the_edge_knows_by_the_header_what_is_certain(fate: str) -> None:
    """Without decoding a pixel; the rest is for the processes that may be killed."""
    certain = [picture for picture in hostile_pictures() if picture.fate == fate]
    assert len(certain) > 100
    assert [picture.name for picture in certain if _is_read(picture) != (fate == "taken")] == []


def _is_read(picture: HostilePicture) -> bool:
    try:
        header = read_header(picture.content)
    except HeaderUnreadable:
        return False
    return header.width * header.height <= PIXELS_MAX


async def test_no_picture_kills_a_media_process_or_outgrows_its_header() -> None:
    """Also those that the edge would have refused: decoding is safe by itself."""
    decoded: Counter[bool] = Counter()
    async with open_media_pool(2) as pool:
        before = set(pool.process_ids)
        for picture in hostile_pictures():
            try:
                found = await pool.decode(picture.content)
            except InputUndecodable:
                decoded[False] += 1
                continue
            with found.pixels as pixels:
                assert pixels.width * pixels.height <= PIXELS_MAX, picture.name
            decoded[True] += 1
        assert set(pool.process_ids) == before, "a process had to be killed"
    assert min(decoded.values()) > 100, decoded
