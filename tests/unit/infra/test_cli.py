"""The command line: quick where no server is asked, exit codes for scripts, one sentence for what can be mended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner

from infra.cli.main import COMMANDS, cli
from infra.cli.revoke import revoke
from infra.cli.rotate_key import rotate_key
from infra.cli.status import status
from infra.cli.token import token
from infra.http.signing_keys import KeyFolder, begins_s
from infra.http.tokens import TokenVerifier
from infra.local.layout import Layout, claim
from infra.local.stack import Options, open_stack

SERVER_SIDE = ("pydantic", "aiokafka", "faust", "starlette", "httpx", "asyncpg", "numpy", "PIL", "rich")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A data directory whose stack was started once, and stopped."""
    made = Layout(tmp_path / "var")
    lock = claim(made)
    open_stack(made, Options(only=("kafka",)))
    lock.release()
    return made


def _darkroom(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = (sys.executable, "-m", "infra.cli.main", *arguments)
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def _verifier(layout: Layout) -> TokenVerifier:
    return TokenVerifier(KeyFolder(layout.secrets / "jwt"), bytes(32), "local")


def test_help_names_every_command() -> None:
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0
    assert all(f"  {name} " in shown.output for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(cli, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage:" in shown.output


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["token", "--product", "darkroom", "--subject", "a"]])
def test_what_asks_no_server_loads_no_server_library(arguments: list[str], layout: Layout) -> None:
    if arguments != ["--help"]:
        arguments = [*arguments, "--data", str(layout.root)]
    program = (
        "import sys; from infra.cli.main import cli\n"
        f"try: cli.main({arguments!r}, standalone_mode=True)\n"
        f"except SystemExit: print([n for n in {SERVER_SIDE!r} if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.strip() == "[]"


def test_a_token_says_what_was_asked(layout: Layout) -> None:
    workspace = uuid.uuid4()
    asked = ["--data", str(layout.root), "--product", "studio", "--subject", "a:b", "--ttl", "60"]
    more = ["--workspace", str(workspace), "--plan", "premium", "--role", "admin"]
    printed = CliRunner().invoke(token, [*asked, *more])
    assert printed.exit_code == 0, printed.output
    assert printed.output.count("\n") == 1
    caller = _verifier(layout).verify(printed.output.strip())
    assert (caller.product, caller.subject, caller.plan, caller.role) == ("studio", "a:b", "premium", "admin")
    assert caller.workspace == str(workspace)
    claims = jwt.decode(printed.output.strip(), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["token", "--product", "nothing", "--subject", "a"], "ai-image"),
        (["token", "--product", "darkroom", "--subject", " "], "--subject"),
        (["grant", "--account", "ada", "5"], "PRODUCT:SUBJECT"),
        (["grant", "--account", "darkroom:ada", "many"], "AMOUNT"),
        (["grant", "--account", "darkroom:ada", "--expires", "soon", "5"], "a number of days"),
        (["grant", "--account", "darkroom:ada", "--expires", "2027-01-31T12:00:00", "5"], "with its zone"),
        (["grant", "--account", "darkroom:ada", "--expires", "9" * 12, "5"], "too many days"),
        (["refund", "--account", "ada", "--job", "job_1", "--reason", "x"], "PRODUCT:SUBJECT"),
        (["refund", "--account", "darkroom:ada", "--job", "job_1"], "--reason"),
        (["set-plan", "--account", "nobody:ada", "premium"], "PRODUCT:SUBJECT"),
        (["up", "--only", "kafka,coffee"], "coffee"),
        (["up", "--port", "0"], "--port"),
    ],
)
def test_a_wrong_argument_is_exit_code_2_and_named(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = _darkroom(*arguments, "--data", str(tmp_path / "var"))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stack_that_never_was_and_one_that_is_down(tmp_path: Path, layout: Layout) -> None:
    for command in (["status"], ["grant", "--account", "darkroom:ada", "5"], ["demo"]):
        never = _darkroom(*command, "--data", str(tmp_path / "nothing"))
        assert (never.returncode, never.stderr.count("\n")) == (2, 1)
        assert "darkroom up --data" in never.stderr
    down = _darkroom("grant", "--account", "darkroom:ada", "-5", "--data", str(layout.root))
    assert (down.returncode, down.stderr.count("\n")) == (2, 1)
    assert "Nothing answers" in down.stderr


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = _darkroom("up", "--port", port, "--data", str(tmp_path / "var"))
    assert done.returncode == 2
    assert (
        done.stderr == f"darkroom: Port {port} is taken: stop what listens there, or choose another one with --port.\n"
    )


def test_the_status_of_a_stopped_stack_is_empty_and_exit_code_1(layout: Layout) -> None:
    shown = CliRunner().invoke(status, ["--data", str(layout.root), "--json"])
    assert shown.exit_code == 1
    assert json.loads(shown.output)["components"] == []


@pytest.mark.parametrize("command", [["events"], ["resume", "--partition", "0"]])
def test_a_server_that_does_not_answer_is_one_sentence(command: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "DARKROOM_DATA_DIR": str(tmp_path)}
    argv = [sys.executable, "-m", "infra.cli.main", *command]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    (told,) = ran.stderr.splitlines()
    assert told.startswith("darkroom: No Kafka broker answered at 127.0.0.1:9 within")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "No such command 'nope' (see `darkroom --help`)."),
        (["token", "--product", "studio"], "Missing option '--subject' (see `darkroom token --help`)."),
        (
            ["token", "--product", "studio", "--subject", "ada", "--idle", "5"],
            "--idle is the limit of a session token: add --session (see `darkroom token --help`).",
        ),
        (["redrive"], "Name the letters to redrive, or say --all, and not both (see `darkroom redrive --help`)."),
        (
            ["sweep", "--older-than", "5"],
            "--older-than is a number and a unit, such as 24h, 90m or 7d (see `darkroom sweep --help`).",
        ),
    ],
)
def test_a_bad_argument_is_one_sentence_with_its_help(arguments: list[str], told: str) -> None:
    ran = _darkroom(*arguments)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"darkroom: {told}\n")


def test_without_data_or_variables_the_stack_in_var_is_meant(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    environment = {**plain, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    argv = [sys.executable, "-m", "infra.cli.main", "events"]
    ran = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr.startswith(f"darkroom: There is no stack in {tmp_path}/var: ")) == (2, True)


def test_an_account_id_needs_the_key_that_makes_it(tmp_path: Path) -> None:
    environment = {**os.environ, "DARKROOM_SECRETS_DIR": str(tmp_path)}
    argv = [sys.executable, "-m", "infra.cli.main", "events", "--account", "darkroom:ada"]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    (told,) = ran.stderr.splitlines()
    assert (ran.returncode, told.split(" from ")[0]) == (2, "darkroom: The key of account ids cannot be read")


def test_a_session_token_has_an_idle_limit_and_a_plain_one_has_none(layout: Layout) -> None:
    asked = ["--data", str(layout.root), "--product", "studio", "--subject", "ada"]
    for more, life in (
        ([], (86_400, None)),
        (["--session"], (30 * 86_400, 86_400)),
        (["--session", "--idle", "600", "--ttl", "3600"], (3600, 600)),
    ):
        printed = CliRunner().invoke(token, [*asked, *more])
        session = _verifier(layout).verify(printed.output.strip()).session
        assert session is not None
        assert (session.ends_s - session.issued_s, session.idle_s) == life


def test_a_key_is_rotated_and_the_old_one_retired_when_it_signs_no_more(layout: Layout) -> None:
    folder, where = layout.secrets / "jwt", ["--data", str(layout.root)]
    (old,) = KeyFolder(folder).kids()
    made = CliRunner().invoke(rotate_key, where)
    assert made.exit_code == 0, made.output
    new = made.output.strip()
    assert KeyFolder(folder).kids() == [old, new]
    assert 20 <= begins_s(new) - time.time() <= 30
    assert (folder / f"{new}.pem").stat().st_mode & 0o777 == 0o600
    assert KeyFolder(folder).signing(time.time())[0] == old
    refused = CliRunner().invoke(rotate_key, [*where, "--retire", old])
    assert (refused.exit_code, "signs now" in refused.output) == (2, True)
    assert CliRunner().invoke(rotate_key, [*where, "--retire", "nothing"]).exit_code == 2
    os.rename(folder / f"{new}.pem", folder / "2.pem")
    os.rename(folder / f"{old}.pem", folder / "1.pem")
    assert CliRunner().invoke(rotate_key, [*where, "--retire", "1"]).output == "1\n"
    assert KeyFolder(folder).kids() == ["2"]


@pytest.mark.parametrize("named", ["a b", "", "x.y.z", "a/b"])
def test_what_is_no_session_cannot_be_revoked(layout: Layout, named: str) -> None:
    done = CliRunner().invoke(revoke, ["--data", str(layout.root), "--session", named])
    assert (done.exit_code, "--session" in done.output) == (2, True)
