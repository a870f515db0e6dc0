"""Tokens that a did:key signs itself: only its own signature counts, and it makes nobody but a plain user."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.http.did import did_of, key_of
from schemas.identifiers import account_id
from tests.unit.http.did_tokens import (
    DID,
    GOOD,
    IDENTIFIERS,
    KEY,
    NOW_S,
    PUBLIC,
    STRANGER,
    STRANGERS_DID,
    claims_with,
    part,
    refused,
    signed,
    verifier,
)


def test_a_did_is_a_plain_user_of_the_product() -> None:
    token = jwt.encode(GOOD, KEY, algorithm="EdDSA")
    caller = verifier().verify(token)
    assert (caller.product, caller.subject, caller.owner) == ("pix-loom", DID, DID)
    assert caller.account == account_id(IDENTIFIERS, "pix-loom", DID)
    assert (caller.plan, caller.role, caller.workspace, caller.actor) == ("default", "user", None, "user")
    assert not caller.is_admin
    assert caller.session is not None
    assert (caller.session.ends_s, caller.session.idle_s) == (NOW_S + 3_600, None)


def test_the_did_of_the_method_s_own_example_is_read() -> None:
    """The first test vector of the did:key method's Ed25519 section."""
    text = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
    raw_key = key_of(text).public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert raw_key.hex() == "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
    assert did_of(raw_key) == text


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "local"},
        {"aud": ["elsewhere", "local"]},
        {"iat": NOW_S, "nbf": NOW_S},
        {"iat": NOW_S + 4},
        {"exp": NOW_S + 86_400},
        {"exp": NOW_S + 60.5},
        {"exp": NOW_S - 4},
        {"jti": "x" * 128},
        {"nonce": "n", "name": "Ada"},
    ],
)
def test_what_such_a_token_may_also_say(changed: dict[str, Any]) -> None:
    assert verifier().verify(signed(**changed)).subject == DID


@pytest.mark.parametrize("header", [{"alg": "EdDSA"}, {"alg": "EdDSA", "typ": "jwt", "kid": f"{DID}#{DID[8:]}"}])
def test_headers_as_libraries_write_them(header: dict[str, Any]) -> None:
    assert verifier().verify(signed(header=header)).subject == DID


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": STRANGERS_DID},
        {"iss": STRANGERS_DID, "sub": STRANGERS_DID},
        {"sub": STRANGERS_DID},
        {"sub": ...},
        {"sub": [DID]},
        {"iss": ...},
        {"iss": [DID]},
        {"iss": "darkroom"},
        {"iss": "darkroom", "sub": "darkroom"},
        {"iss": f"{DID}#{DID[8:]}", "sub": f"{DID}#{DID[8:]}"},
        {"iss": f"{DID} ", "sub": f"{DID} "},
        {"iss": DID.upper(), "sub": DID.upper()},
        {"iss": "did:web:example.org", "sub": "did:web:example.org"},
        {"aud": "elsewhere"},
        {"aud": ["elsewhere"]},
        {"aud": []},
        {"aud": ""},
        {"aud": None},
        {"aud": "locall"},
        {"aud": {"local": 1}},
        {"exp": ...},
        {"exp": None},
        {"exp": str(NOW_S + 60)},
        {"exp": True},
        {"exp": NOW_S - 5},
        {"exp": -1},
        {"exp": NOW_S + 86_406},
        {"exp": 10**400},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"iat": NOW_S + 60},
        {"iat": "now"},
        {"iat": None},
        {"iat": True},
        {"nbf": False},
        {"nbf": NOW_S + 60},
        {"nbf": [NOW_S]},
        {"jti": ""},
        {"jti": "x" * 129},
        {"jti": "a b"},
        {"jti": "a/b"},
        {"jti": 7},
        {"jti": None},
        {"product": "darkroom"},
        {"product": "pix-loom"},
        {"plan": "gold"},
        {"role": "admin"},
        {"role": "user"},
        {"workspace": "6f1c1f0e-7a56-4b57-9a42-0a86ff3d8a0e"},
        {"idle_s": 60},
    ],
)
def test_claims_that_do_not_count(changed: dict[str, Any]) -> None:
    refused(signed(**changed))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"alg": "Ed25519ph"},
        {"alg": "eddsa"},
        {"alg": ["EdDSA"]},
        {"typ": "JWT"},
        {"alg": "EdDSA", "crit": ["exp"]},
        {"alg": "EdDSA", "crit": []},
        {"alg": "EdDSA", "b64": False, "crit": ["b64"]},
        {"alg": "EdDSA", "b64": True},
        {"alg": "EdDSA", "typ": "dpop+jwt"},
        {"alg": "EdDSA", "typ": 7},
    ],
)
def test_headers_that_do_not_count(header: dict[str, Any]) -> None:
    refused(signed(header=header))


def test_other_algorithms_and_keys_do_not_count() -> None:
    unsigned = jwt.encode(GOOD, "", algorithm="none")
    refused(unsigned)
    refused(unsigned + part(bytes(64)), "EdDSA")
    refused(jwt.encode(GOOD, PUBLIC, algorithm="HS256"), "EdDSA")
    refused(jwt.encode(GOOD, generate_private_key(SECP256R1()), algorithm="ES256"), "EdDSA")
    refused(signed(STRANGER), "not signed")


def test_another_s_header_key_is_not_looked_at() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(STRANGER.public_key().public_bytes_raw())}
    refused(signed(STRANGER, {"alg": "EdDSA", "jwk": jwk, "kid": STRANGERS_DID}), "not signed")


def test_a_signature_over_other_claims_does_not_count() -> None:
    header, _, signature = signed().split(".")
    refused(f"{header}.{part(json.dumps(claims_with(exp=NOW_S + 7_200)).encode())}.{signature}", "not signed")
    refused(f"{part(b'{}')}.{signed().split('.')[1]}.{signature}", "EdDSA")
