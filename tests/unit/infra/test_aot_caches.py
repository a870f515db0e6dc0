"""AOT caches: made at set-up, taken by the JVMs that fit, and missed by nobody."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from infra.local.jars import LISTS, cache_dir
from infra.local.java import aot_cache, java_command, makes_aot_caches
from infra.local.kafka import HEAP_MIB, kafka_command

TOOL = ("kafka.tools.StorageTool", "random-uuid")


def _parts_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "jars").mkdir(parents=True)
    for part in (cache_dir() / "jars").iterdir():
        os.symlink(part, folder / "jars" / part.name)
    monkeypatch.setenv("DARKROOM_CACHE", str(folder))


def test_set_up_has_made_one_that_the_jvm_takes() -> None:
    assert makes_aot_caches()
    program, *rest = kafka_command(*TOOL)
    assert f"-XX:AOTCache={aot_cache('kafka.jars', HEAP_MIB)}" in rest
    done = subprocess.run((program, "-XX:AOTMode=on", *rest), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout  # with AOTMode=on a JVM ends where it cannot take its cache
    assert len(done.stdout.split()) == 1, "nothing but the id is printed"


@pytest.mark.parametrize(("mode", "starts"), [("auto", True), ("on", False)])
def test_one_that_does_not_fit_costs_time_only(mode: str, starts: bool) -> None:
    program, *rest = kafka_command(*TOOL)
    other = (f"-XX:AOTMode={mode}", "-XX:-CompactStrings")
    done = subprocess.run((program, *other, *rest), capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == starts, done.stdout


def test_without_one_a_server_starts_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _parts_elsewhere(tmp_path, monkeypatch)
    for parts in LISTS:
        assert not any("AOT" in word for word in java_command(parts.name, HEAP_MIB, {}, ("Main",)))


def test_parts_that_were_written_since_have_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _parts_elsewhere(tmp_path, monkeypatch)
    before = aot_cache("kafka.jars", HEAP_MIB)
    assert aot_cache("kafka.jars", HEAP_MIB) == before
    assert aot_cache("kafka.jars", HEAP_MIB + 1) != before
    assert aot_cache("s3proxy.jars", HEAP_MIB) != before
    part = next((tmp_path / "jars").glob("*kafka-clients*"))
    content = part.read_bytes()
    part.unlink()
    part.write_bytes(content)
    assert aot_cache("kafka.jars", HEAP_MIB) != before
