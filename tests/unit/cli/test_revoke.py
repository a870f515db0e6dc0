"""`darkroom revoke --session TOKEN`: the session that a gateway would know the token by."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.cli import revoke as revoke_module
from infra.cli.revoke import revoke
from infra.http.did import DidVerifier, did_of
from infra.http.tokens import TokenVerifier, sign_token
from infra.local.layout import Layout, StackFile, claim, write_stack_file
from tests.http.fakes import DEPLOYMENT, IDENTIFIER_KEY, make_keys


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the command asks of the gateway."""
    asked: list[str] = []
    monkeypatch.setattr(revoke_module, "call", lambda _layout, _stack, path: asked.append(path))
    return asked


def revoked(tmp_path: Path, named: str) -> str:
    layout = Layout(tmp_path / "var")
    claim(layout).release()
    write_stack_file(layout, StackFile(1, DEPLOYMENT, 8, "http://127.0.0.1:9", "127.0.0.1", 9, {}))
    shown = CliRunner().invoke(revoke, ["--data", str(layout.root), "--session", named])
    assert shown.exit_code == 0, shown.output
    return shown.output.strip()


def test_a_token_of_the_deployment(tmp_path: Path, paths: list[str]) -> None:
    keys = make_keys(tmp_path / "jwt")
    token = sign_token(keys, DEPLOYMENT, "darkroom", "ada", now_s=int(time.time()), ttl_s=60)
    session = TokenVerifier(keys, IDENTIFIER_KEY, DEPLOYMENT).verify(token).session
    assert session is not None
    assert revoked(tmp_path, token) == session.id
    assert paths == [f"/v1/sessions/{session.id}:revoke"]


@pytest.mark.parametrize("more", [{}, {"jti": "s-1"}])
def test_a_token_that_a_did_has_signed(more: dict[str, str], tmp_path: Path, paths: list[str]) -> None:
    key = Ed25519PrivateKey.generate()
    did = did_of(key.public_key().public_bytes_raw())
    token = jwt.encode({"iss": did, "sub": did, "exp": int(time.time()) + 60, **more}, key, algorithm="EdDSA")
    session = DidVerifier(IDENTIFIER_KEY, DEPLOYMENT, "pix-loom").verify(token).session
    assert session is not None
    assert revoked(tmp_path, token) == session.id
    assert paths == [f"/v1/sessions/{session.id}:revoke"]
