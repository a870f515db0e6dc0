"""A workspace's account: `darkroom token --workspace` spends what `darkroom grant` gives to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli import grant as grant_module
from infra.cli.grant import grant
from infra.cli.token import token
from infra.http.signing_keys import KeyFolder
from infra.http.tokens import Caller, TokenVerifier, sign_token
from infra.local.layout import Layout, StackFile, claim, make_secrets, write_stack_file
from infra.sealing.content import SUBJECT
from ingest.intake import Who, caller_as_who
from schemas.identifiers import account_id
from tests.http.fakes import DEPLOYMENT, IDENTIFIER_KEY, Side, make_side

WORKSPACE = "6f1c1f0e-7a56-4b57-9a42-0a86ff3d8a0e"
USER = "0b0e4c9f-2f0e-4a77-8a3c-5f2b1f6f1d11"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A data directory whose stack was started once, and stopped."""
    made = Layout(tmp_path / "var")
    claim(made).release()
    make_secrets(made)
    write_stack_file(made, StackFile(1, DEPLOYMENT, 8, "http://127.0.0.1:9", "127.0.0.1", 9, {}))
    return made


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return make_side(tmp_path)


def printed(layout: Layout, *more: str) -> str:
    shown = CliRunner().invoke(token, ["--data", str(layout.root), "--product", "workspace-images", *more])
    assert shown.exit_code == 0, shown.output
    return shown.output.strip()


def caller_of(layout: Layout, text: str) -> Caller:
    return TokenVerifier(KeyFolder(layout.secrets / "jwt"), IDENTIFIER_KEY, DEPLOYMENT).verify(text)


def granted_path(layout: Layout, account: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where `darkroom grant` sends its body."""
    paths: list[str] = []

    def call(layout: Layout, stack: StackFile, path: str, body: dict[str, object]) -> dict[str, object]:
        paths.append(path)
        return {"balance": body["amount"]}

    monkeypatch.setattr(grant_module, "call", call)
    shown = CliRunner().invoke(grant, ["--data", str(layout.root), "--account", account, "5"])
    assert (shown.exit_code, shown.output) == (0, "5\n")
    (path,) = paths
    return path


@pytest.mark.parametrize("written", [WORKSPACE, WORKSPACE.upper()])
async def test_grant_reaches_the_account_that_the_token_spends(
    written: str, layout: Layout, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = caller_of(layout, printed(layout, "--subject", USER, "--workspace", written))
    path = granted_path(layout, f"workspace-images:{written}", monkeypatch)
    operator = {"Authorization": f"Bearer {side.token(role='admin')}"}
    assert (await side.http.post(path, json={"amount": 5}, headers=operator)).status_code == 200
    assert side.decider.envelopes[0].account == caller.account
    assert caller.account == account_id(IDENTIFIER_KEY, "workspace-images", WORKSPACE)


@pytest.mark.parametrize("written", [USER, USER.upper()])
async def test_a_user_s_own_account_is_another(
    written: str, layout: Layout, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = caller_of(layout, printed(layout, "--subject", written))
    shared = caller_of(layout, printed(layout, "--subject", written, "--workspace", WORKSPACE))
    path = granted_path(layout, f"workspace-images:{written}", monkeypatch)
    operator = {"Authorization": f"Bearer {side.token(role='admin')}"}
    assert (await side.http.post(path, json={"amount": 5}, headers=operator)).status_code == 200
    assert side.decider.envelopes[0].account == own.account == shared.actor != shared.account


def test_other_products_have_subjects_of_any_spelling(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    assert granted_path(layout, f"studio:{USER.upper()}", monkeypatch).count(USER.upper()) == 1
    assert granted_path(layout, "workspace-images:Ada", monkeypatch).count("Ada") == 1


def test_commands_are_the_workspace_s_and_say_who_acts(layout: Layout) -> None:
    own = caller_of(layout, printed(layout, "--subject", USER))
    shared = caller_of(layout, printed(layout, "--subject", USER, "--workspace", WORKSPACE, "--plan", "big"))
    assert caller_as_who(own) == Who(account=own.account, product="workspace-images", subject=USER)
    assert caller_as_who(shared) == Who(
        account=account_id(IDENTIFIER_KEY, "workspace-images", WORKSPACE),
        product="workspace-images",
        subject=WORKSPACE,
        plan="big",
        actor=own.account,
    )


async def test_nobody_s_id_stands_in_clear_on_the_log(layout: Layout, side: Side) -> None:
    text = sign_token(
        side.keys,
        DEPLOYMENT,
        "workspace-images",
        USER,
        now_s=side.clock.now_ms() // 1000,
        ttl_s=60,
        workspace=WORKSPACE,
    )
    answer = await side.http.post("/v1/albums", json={"name": "ours"}, headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code < 300, answer.text
    envelope = side.decider.envelopes[0]
    assert envelope.account == account_id(IDENTIFIER_KEY, "workspace-images", WORKSPACE)
    assert envelope.actor == account_id(IDENTIFIER_KEY, "workspace-images", USER)
    assert envelope.subject is not None
    assert await side.ring.open(envelope.account, envelope.subject, SUBJECT) == WORKSPACE.encode()
