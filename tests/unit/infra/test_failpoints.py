"""Failpoints: each stands where its table says, is armed by tests alone, strikes once, and costs nothing unarmed."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import failpoints
from infra.errors import OperatorError
from infra.failpoints import FAILPOINTS, STEPS, VARIABLE, Armed, FailpointStruck, Strikes, parsed

ROOT = Path(failpoints.__file__).resolve().parents[1]
FOLDERS = ("schemas", "ingest", "processors", "projections", "api", "infra")
NAME = "gateway.append.after"
OTHER = "gateway.append.before"
_CALLS = 50_000


@pytest.fixture(autouse=True)
def unarmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves anything armed behind."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(failpoints, "passed", failpoints._nothing)


def _replace(file: Path, text: str) -> None:
    """As the sweep does: another file, so that two changes within a tick of the clock are told apart."""
    fresh = file.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.replace(file)


class Places(ast.NodeVisitor):
    """Where a module passes which failpoint: `found` holds (name, module:qualified function)."""

    def __init__(self, module: str) -> None:
        self.found: list[tuple[str, str]] = []
        self._module, self._within = module, list[str]()

    def visit_scope(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = visit_scope

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func) == "failpoints.passed":
            (name,) = node.args
            assert isinstance(name, ast.Constant)
            assert isinstance(name.value, str), f"{ast.unparse(node)} does not name its failpoint"
            self.found.append((name.value, f"{self._module}:{'.'.join(self._within)}"))
        self.generic_visit(node)


def sources() -> Iterator[tuple[str, str]]:
    """(module, text) of the product."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path != Path(failpoints.__file__):
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text(encoding="utf-8")


def test_each_failpoint_is_passed_at_one_place_and_there_where_the_table_says() -> None:
    found: list[tuple[str, str]] = []
    for module, text in sources():
        if "failpoints" in text:
            places = Places(module)
            places.visit(ast.parse(text))
            found += places.found
    assert sorted(found) == sorted((name, step.where) for step in STEPS for name in step.failpoints)
    assert len(FAILPOINTS) == len(set(FAILPOINTS))


def test_nobody_binds_passed_to_a_name_that_arming_could_not_replace() -> None:
    for module, text in sources():
        assert "from infra.failpoints import" not in text, module


def test_nothing_is_armed_without_the_variable(tmp_path: Path) -> None:
    failpoints.arm("production", tmp_path)
    assert failpoints.passed is failpoints._nothing


@pytest.mark.parametrize("text", [f"{NAME}=raise", "@armed"])
def test_only_a_local_deployment_is_armed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(OperatorError, match="unset it"):
        failpoints.arm("production", tmp_path)
    assert failpoints.passed is failpoints._nothing
    failpoints.arm("local", tmp_path)
    assert failpoints.passed is not failpoints._nothing


@pytest.mark.parametrize("role", [["serve", "dispatcher"], ["events"]])
def test_a_process_that_is_not_local_refuses_to_start(role: list[str], tmp_path: Path) -> None:
    environment = {
        **os.environ,
        VARIABLE: f"{NAME}=kill",
        "DARKROOM_DEPLOYMENT": "production",
        "DARKROOM_DATA_DIR": str(tmp_path),
        "DARKROOM_SECRETS_DIR": str(tmp_path),
    }
    program = [sys.executable, "-m", "infra.cli.main", *role]
    ran = subprocess.run(program, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 2
    assert ran.stderr == f"darkroom: {VARIABLE} is for tests: unset it, this deployment is production.\n"


@pytest.mark.parametrize(
    "text", [NAME, f"{NAME}=die", f"{NAME}=hang", f"{NAME}=kill@0", f"{NAME}=kill@x", "nowhere=kill", f"{NAME}=raise#/"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=VARIABLE):
        parsed(text)


def test_entries_say_what_happens_at_which_passing() -> None:
    assert parsed(f"{NAME}=kill@3; {OTHER}=raise#again\n{NAME}=hang:0.5@2") == (
        Armed(NAME, "kill", 3, 0.0, f"{NAME}=kill@3"),
        Armed(OTHER, "raise", 1, 0.0, f"{OTHER}=raise#again"),
        Armed(NAME, "hang", 2, 0.5, f"{NAME}=hang:0.5@2"),
    )


def test_it_strikes_at_the_nth_passing_and_never_again(tmp_path: Path) -> None:
    struck: list[str] = []
    strikes = Strikes(tmp_path, parsed(f"{NAME}=kill@3;{NAME}=raise@5"), lambda entry: struck.append(entry.text))
    for number in range(1, 9):
        strikes.passed(NAME)
        strikes.passed(OTHER)
        assert len(struck) == (number >= 3) + (number >= 5)
    restarted = Strikes(tmp_path, parsed(f"{NAME}=kill@3"), lambda entry: struck.append(entry.text))
    for _ in range(5):
        restarted.passed(NAME)
    assert struck == [f"{NAME}=kill@3", f"{NAME}=raise@5"]


def test_of_many_that_pass_at_once_one_is_struck(tmp_path: Path) -> None:
    struck: list[str] = []
    gate = threading.Barrier(8)
    fleet = [Strikes(tmp_path, parsed(f"{NAME}=kill"), lambda entry: struck.append(entry.text)) for _ in range(4)]

    def pass_it(strikes: Strikes) -> None:
        gate.wait()
        strikes.passed(NAME)

    threads = [threading.Thread(target=pass_it, args=(fleet[number % 4],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(struck) == 1


def test_a_file_arms_and_disarms_a_process_that_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "@armed")
    failpoints.arm("local", tmp_path)
    failpoints.passed(NAME)
    file = tmp_path / "failpoints" / "armed"
    file.parent.mkdir()
    file.write_text(f"{NAME}=raise@2\n")
    failpoints.passed(NAME)
    with pytest.raises(FailpointStruck, match=NAME):
        failpoints.passed(NAME)
    failpoints.passed(NAME)
    _replace(file, f"{OTHER}=raise")
    failpoints.passed(NAME)
    with pytest.raises(FailpointStruck, match=OTHER):
        failpoints.passed(OTHER)
    _replace(file, f"{OTHER}=raise#2")
    with pytest.raises(FailpointStruck):
        failpoints.passed(OTHER)
    assert {path.name for path in (tmp_path / "failpoints" / "struck").iterdir()} == {
        f"{NAME}=raise@2",
        f"{OTHER}=raise",
        f"{OTHER}=raise#2",
    }


def test_a_kill_is_a_kill_and_leaves_its_marker(tmp_path: Path) -> None:
    text = (
        "import pathlib, sys; from infra import failpoints; failpoints.arm('local', pathlib.Path(sys.argv[1]));"
        f"failpoints.passed({NAME!r}); print('alive')"
    )
    program = [sys.executable, "-c", text, str(tmp_path)]
    environment = {**os.environ, VARIABLE: f"{NAME}=kill"}
    codes = [subprocess.run(program, env=environment, cwd=ROOT, timeout=120, check=False).returncode for _ in range(2)]
    assert codes == [-signal.SIGKILL, 0]
    assert (tmp_path / "failpoints" / "struck" / f"{NAME}=kill").is_file()


def test_a_hang_holds_whoever_passes(tmp_path: Path) -> None:
    began = time.perf_counter()
    Strikes(tmp_path, parsed(f"{NAME}=hang:0.2")).passed(NAME)
    assert time.perf_counter() - began >= 0.2


def test_passing_costs_next_to_nothing_unarmed() -> None:
    """Against a function of the same shape, so that the machine's speed is on both sides."""

    def spent_s(call: str) -> float:
        code = compile(f"for _ in range({_CALLS}): {call}", "<timed>", "exec")
        names = {"failpoints": failpoints, "os": os}
        best_s = float("inf")
        for _ in range(7):
            began = time.perf_counter()
            exec(code, names)
            best_s = min(best_s, time.perf_counter() - began)
        return best_s

    assert spent_s(f"failpoints.passed({NAME!r})") < spent_s("os.path.isabs('/')")
