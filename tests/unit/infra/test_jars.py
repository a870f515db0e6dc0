"""The JVM parts: by exact coordinate and hash, atomically into a cache that clones share."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from infra.local import jars
from infra.local.errors import LocalError
from infra.local.jars import LISTS, Jar, classpath, fetch, read_list

GOOD = b"the right bytes"
PART = Jar("org.example", "part", "1.0", "", hashlib.sha256(GOOD).hexdigest())


def _serve(content: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Jar]:
    asked: list[Jar] = []

    def download(jar: Jar, scratch: Path) -> Path:
        asked.append(jar)
        file = scratch / jar.filename
        file.write_bytes(content)
        return file

    monkeypatch.setattr(jars, "_download", download)
    return asked


def test_the_lists_name_each_part_once_with_version_and_hash() -> None:
    for path in LISTS:
        parts = read_list(path)
        assert len(parts) == len(set(parts)) > 40
        assert all(len(part.sha256) == 64 and part.version[0].isdigit() for part in parts)


def test_a_part_is_fetched_once_and_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _serve(GOOD, monkeypatch)
    assert fetch([PART, PART], tmp_path) == 1
    assert fetch([PART], tmp_path) == 0
    assert asked == [PART]
    assert (tmp_path / PART.relative_path).read_bytes() == GOOD
    assert [path.name for path in tmp_path.iterdir()] == ["jars"]


def test_wrong_bytes_never_enter_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _serve(b"other bytes", monkeypatch)
    with pytest.raises(LocalError, match="SHA-256"):
        fetch([PART], tmp_path)
    assert not (tmp_path / PART.relative_path).exists()


def test_a_damaged_part_in_the_cache_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _serve(GOOD, monkeypatch)
    fetch([PART], tmp_path)
    (tmp_path / PART.relative_path).write_bytes(GOOD[:5])
    assert fetch([PART], tmp_path) == 1
    assert (tmp_path / PART.relative_path).read_bytes() == GOOD


def test_without_network_the_sentence_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(LocalError) as caught:
        fetch([PART], tmp_path)
    assert "needs the network" in str(caught.value)
    assert "make setup" in str(caught.value)


def test_a_missing_part_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="make setup"):
        classpath(LISTS[0], tmp_path)
