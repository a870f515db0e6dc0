"""The claim that a killed PostgreSQL leaves on its directory is taken away; the claim of a living one is not."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from infra.local import postgres


def _named_postgres(folder: Path, program: str) -> str:
    """A copy of a program under the name that PostgreSQL's processes have."""
    found = shutil.which(program)
    assert found is not None
    return str(shutil.copy(Path(found).resolve(), folder / "postgres"))


def _claim(folder: Path, pid: int) -> Path:
    path = folder / "postmaster.pid"
    path.write_text(f"{pid}\n{folder}\n", encoding="ascii")
    return path


def test_the_claim_of_a_corpse_that_nobody_buries_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([_named_postgres(tmp_path, "true")]) as corpse:
        while Path("/proc", str(corpse.pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        path = _claim(tmp_path, corpse.pid)
        postgres._forget_stranger(path)
        assert not path.exists()


def test_the_claim_of_another_program_with_the_number_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "30"]) as stranger:
        path = _claim(tmp_path, stranger.pid)
        postgres._forget_stranger(path)
        stranger.kill()
    assert not path.exists()


def test_a_dying_server_is_given_its_moment(tmp_path: Path) -> None:
    with subprocess.Popen([_named_postgres(tmp_path, "sleep"), "0.3"]) as dying:
        path = _claim(tmp_path, dying.pid)
        postgres._forget_stranger(path)
    assert not path.exists()


def test_the_claim_of_a_server_that_lives_on_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_DYING_LIMIT_S", 0.1)
    with subprocess.Popen([_named_postgres(tmp_path, "sleep"), "30"]) as living:
        path = _claim(tmp_path, living.pid)
        postgres._forget_stranger(path)
        living.kill()
    assert path.exists()
