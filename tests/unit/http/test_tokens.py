"""Tokens: only EdDSA of this deployment's keys, in their time, for this audience."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.http.signing_keys import KeyFolder
from infra.http.tokens import Caller, TokenInvalid, TokenVerifier, is_session_id, sign_token
from schemas.identifiers import account_id
from tests.http.fakes import make_keys

IDENTIFIERS = b"i" * 32
NOW_S = 1_800_000_000


class _Clock:
    now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return make_keys(tmp_path / "jwt")


def verifier(folder: KeyFolder, clock: _Clock | None = None, deployment: str = "local") -> TokenVerifier:
    return TokenVerifier(folder, IDENTIFIERS, deployment, clock or _Clock())


def signed(folder: KeyFolder, **changed: Any) -> str:
    kid, key = folder.signing(NOW_S)
    claims = {
        "iss": "darkroom",
        "aud": "local",
        "sub": "ada",
        "product": "darkroom",
        "jti": "s1",
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    claims = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": kid})


def test_a_signed_token_names_its_caller(folder: KeyFolder) -> None:
    token = sign_token(
        folder, "local", "spike-land", "did:x:1", now_s=NOW_S, ttl_s=60, plan="gold", role="admin", workspace="w"
    )
    caller = verifier(folder).verify(token)
    assert caller.account == account_id(IDENTIFIERS, "spike-land", "did:x:1")
    assert (caller.product, caller.subject, caller.plan, caller.workspace) == ("spike-land", "did:x:1", "gold", "w")
    assert caller.is_admin
    assert caller.session is not None
    assert (caller.session.issued_s, caller.session.ends_s, caller.session.idle_s) == (NOW_S, NOW_S + 60, None)
    assert is_session_id(caller.session.id)


def test_a_workspace_is_whose_account_it_is_and_the_user_who_acts(folder: KeyFolder) -> None:
    def caller_in(product: str, workspace: str | None) -> Caller:
        return verifier(folder).verify(signed(folder, product=product, workspace=workspace))

    own, shared = caller_in("workspace-images", None), caller_in("workspace-images", "w-1")
    assert (own.account, own.owner, own.actor) == (account_id(IDENTIFIERS, "workspace-images", "ada"), "ada", "user")
    assert (shared.account, shared.owner) == (account_id(IDENTIFIERS, "workspace-images", "w-1"), "w-1")
    assert (shared.subject, shared.workspace, shared.actor) == ("ada", "w-1", own.account)
    elsewhere, plain = caller_in("spike-land", "w-1"), caller_in("spike-land", None)
    assert (elsewhere.account, elsewhere.owner, elsewhere.actor) == (plain.account, "ada", "user")
    assert (elsewhere.workspace, plain.workspace) == ("w-1", None)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "someone"},
        {"aud": "elsewhere"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "\ud800"},
        {"product": None},
        {"product": "a:b"},
        {"exp": None},
        {"exp": NOW_S - 6},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 10**400},
        {"iat": NOW_S + 60},
        {"nbf": NOW_S + 60},
        {"iat": None},
        {"iat": True},
        {"nbf": False},
        {"exp": NOW_S + 401 * 86_400},
        {"jti": None},
        {"jti": ""},
        {"jti": "a/b"},
        {"jti": 7},
        {"idle_s": 0},
        {"idle_s": True},
        {"idle_s": "long"},
        {"role": 1},
        {"plan": ""},
        {"workspace": ""},
        {"workspace": 7},
    ],
)
def test_wrong_claims_do_not_count(folder: KeyFolder, changed: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        verifier(folder).verify(signed(folder, **changed))


def test_other_algorithms_and_keys_do_not_count(folder: KeyFolder) -> None:
    kid, key = folder.signing(NOW_S)
    claims = {"iss": "darkroom", "aud": "local", "sub": "a", "product": "darkroom", "exp": NOW_S + 60}
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    stranger = Ed25519PrivateKey.generate()
    forged = [
        jwt.encode(claims, key="", algorithm="none", headers={"kid": kid}),
        jwt.encode(claims, public, algorithm="HS256", headers={"kid": kid}),
        jwt.encode(claims, stranger, algorithm="EdDSA", headers={"kid": kid}),
        jwt.encode(claims, key, algorithm="EdDSA"),
        jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": "../../etc/passwd"}),
        "abc.def.ghi",
        "",
        "x" * 5000,
        "\udcff.a.b",
    ]
    for token in forged:
        with pytest.raises(TokenInvalid):
            verifier(folder).verify(token)


def test_a_remembered_token_still_expires(folder: KeyFolder) -> None:
    clock = _Clock()
    made = verifier(folder, clock)
    token = signed(folder)
    assert made.verify(token) is made.verify(token)
    clock.now_s = NOW_S + 64
    assert made.verify(token).subject == "ada"
    clock.now_s = NOW_S + 66
    with pytest.raises(TokenInvalid, match="expired"):
        made.verify(token)


def test_a_new_key_is_found_without_a_restart(tmp_path: Path) -> None:
    now_s = [0.0]
    make_keys(tmp_path, "k1")
    folder = KeyFolder(tmp_path, lambda: now_s[0])
    made = TokenVerifier(folder, IDENTIFIERS, "local", time.time)
    assert folder.public_key("k2") is None
    token = sign_token(make_keys(tmp_path, "k2"), "local", "darkroom", "a", now_s=int(time.time()), ttl_s=60)
    with pytest.raises(TokenInvalid):
        made.verify(token)
    now_s[0] = 6.0
    assert made.verify(token).subject == "a"
