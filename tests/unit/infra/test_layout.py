"""The data directory: claimed once, kept from start to start, secrets for the owner alone."""

from __future__ import annotations

import json
import shutil
import socket
import stat
from collections import namedtuple
from pathlib import Path

import pytest

from infra.local.errors import LocalError
from infra.local.layout import Layout, claim, is_running, make_secrets, read_stack_file
from infra.local.ports import is_free
from infra.local.stack import Options, open_stack, settings_of, worker_environment
from infra.settings import load_settings


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "var")
    claim(made).release()
    return made


def _sentence(caught: pytest.ExceptionInfo[LocalError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_two_stacks_on_one_directory_are_refused(layout: Layout) -> None:
    lock = claim(layout)
    assert is_running(layout)
    with pytest.raises(LocalError) as caught:
        claim(layout)
    assert "--data" in _sentence(caught)
    lock.release()
    assert not is_running(layout)
    claim(layout).release()


def test_a_full_disk_is_refused_before_anything_starts(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 << 30, 9 << 30, 100 << 20))
    with pytest.raises(LocalError) as caught:
        claim(layout)
    assert "100 MiB" in _sentence(caught)
    assert not is_running(layout)


def test_a_place_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(LocalError) as caught:
        claim(Layout(Path("/proc/darkroom")))
    assert "--data" in _sentence(caught)


def test_a_directory_of_a_newer_version_is_refused(layout: Layout) -> None:
    layout.stack_file.write_text(json.dumps({"format": 99, "anything": "else"}))
    with pytest.raises(LocalError) as caught:
        read_stack_file(layout)
    assert "newer version" in _sentence(caught)


def test_a_broken_stack_file_is_refused(layout: Layout) -> None:
    layout.stack_file.write_text('{"format": 1')
    with pytest.raises(LocalError) as caught:
        read_stack_file(layout)
    assert str(layout.stack_file) in _sentence(caught)


def test_a_taken_port_is_refused(layout: Layout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalError) as caught:
            open_stack(layout, Options(port=port))
    assert f"Port {port} is taken" in _sentence(caught)
    assert "--port" in str(caught.value)


def test_ports_are_kept_from_start_to_start_unless_taken(layout: Layout) -> None:
    options = Options(only=("kafka",))
    first = open_stack(layout, options)
    assert len(set(first.ports.values())) == len(first.ports)
    assert open_stack(layout, options).ports == first.ports
    with socket.create_server(("127.0.0.1", first.ports["kafka"])):
        assert not is_free(first.ports["kafka"])
        second = open_stack(layout, options)
    assert second.ports["kafka"] != first.ports["kafka"]
    assert second.ports["s3"] == first.ports["s3"]


def test_secrets_are_made_once_and_are_the_owners_alone(layout: Layout) -> None:
    make_secrets(layout)
    files = [path for path in layout.secrets.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    assert {path.name for path in files} >= {"identifier.key", "wrapping.key", "address.key", "admin-password"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert stat.S_IMODE(layout.secrets.stat().st_mode) == 0o700
    assert len(bytes.fromhex(layout.secret("identifier.key"))) == 32
    make_secrets(layout)
    assert {path: path.read_bytes() for path in layout.secrets.rglob("*") if path.is_file()} == before


def test_a_worker_reads_from_its_environment_what_the_stack_means(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = open_stack(layout, Options(port=18_000, only=("kafka",)))
    monkeypatch.delenv("DARKROOM_SETTINGS", raising=False)
    meant = settings_of(layout)
    for name, value in worker_environment(layout, stack, "processor-1").items():
        monkeypatch.setenv(name, value)
    read = load_settings()
    assert read.metrics_port == stack.ports["processor-1"]
    assert read.worker_name == "processor-1"
    own = {"metrics_port": None, "worker_name": None}
    assert {**read.model_dump(), **own} == meant.model_dump()


def test_a_directory_without_a_stack_says_how_to_start_one(layout: Layout) -> None:
    with pytest.raises(LocalError) as caught:
        settings_of(layout)
    assert "darkroom up --data" in _sentence(caught)
