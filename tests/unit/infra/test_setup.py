"""What can go wrong at the first set-up is one sentence with its cure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def _run(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_wrong_python_names_the_right_one() -> None:
    done = _run("make", "setup", "PYTHON=")
    assert done.returncode == 2
    assert "Python 3.11 is not on the PATH" in done.stdout
    assert "make PYTHON=" in done.stdout


def test_no_network_is_said_with_the_cure_and_the_log_is_kept(tmp_path: Path) -> None:
    closed = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"darkroom-needs-the-network==1.0 --hash=sha256:{'0' * 64}\n")
    done = _run("infra/local/environment", str(tmp_path / "env"), sys.executable, "-r", str(requirements), **closed)
    assert done.returncode == 2
    assert done.stderr.startswith("darkroom: the first set-up needs the network")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "env" / "setup.log").read_text() != ""


def test_requirements_are_pinned_by_hash_and_name_no_host() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text, path
        pins = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]
        assert pins
        assert text.count("--hash=sha256:") >= len(pins)
