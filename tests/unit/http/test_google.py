"""Signing in with Google: what a token has to say, and which signature counts."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.http.google import GoogleVerifier, google_verifier
from infra.settings import Settings, SettingsError, load_settings
from tests.unit.http.google_keys import (
    CLIENT,
    EC,
    GOOD,
    ISSUER,
    NOW_S,
    OTHER_RSA,
    RSA,
    KeyServer,
    by_hmac,
    ec_key,
    refused,
    rsa_key,
    token,
)


async def test_a_user_is_whom_google_says(verifier: GoogleVerifier) -> None:
    user = await verifier.verify(token())
    assert user.subject == "google:110169484474386276334"
    assert (user.email, user.name) == ("ada@example.org", "Ada Lovelace")


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://accounts.example.org"},
        {"iss": "https://accounts.google.com/"},
        {"iss": [ISSUER]},
        {"iss": ...},
        {"aud": "client-2.apps.example.org"},
        {"aud": [CLIENT, "client-2.apps.example.org"]},
        {"aud": [CLIENT]},
        {"aud": ...},
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a b"},
        {"sub": "x" * 256},
        {"sub": "\u00e4"},
        {"exp": ...},
        {"exp": NOW_S - 30},
        {"exp": "later"},
        {"exp": NOW_S + 90_000},
        {"iat": ...},
        {"iat": NOW_S + 31},
        {"iat": "now"},
        {"nbf": NOW_S + 31},
    ],
)
async def test_claims_that_do_not_count(changed: dict[str, Any], verifier: GoogleVerifier) -> None:
    await refused(verifier, token(**changed))


@pytest.mark.parametrize(
    "changed",
    [{"iss": "accounts.google.com"}, {"exp": NOW_S - 29}, {"iat": NOW_S + 29}, {"nonce": "n", "azp": CLIENT}],
)
async def test_claims_that_count(changed: dict[str, Any], verifier: GoogleVerifier) -> None:
    assert (await verifier.verify(token(**changed))).id == GOOD["sub"]


@pytest.mark.parametrize(
    ("changed", "email"),
    [
        ({"email_verified": False}, None),
        ({"email_verified": "true"}, None),
        ({"email_verified": ...}, None),
        ({"email": ...}, None),
        ({"email": 7}, None),
        ({"email": "a\nb"}, None),
        ({"email": "x" * 321}, None),
    ],
)
async def test_only_a_verified_address_is_told(
    changed: dict[str, Any], email: str | None, verifier: GoogleVerifier
) -> None:
    assert (await verifier.verify(token(**changed))).email == email


async def test_a_name_may_be_missing(verifier: GoogleVerifier) -> None:
    assert (await verifier.verify(token(name=...))).name is None


async def test_the_algorithm_is_the_key_s(verifier: GoogleVerifier, server: KeyServer) -> None:
    server.keys = [rsa_key("k1", RSA), ec_key("e1", EC)]
    assert (await verifier.verify(token(EC, "e1", "ES256"))).id == GOOD["sub"]
    public = RSA.public_key()
    forged = [
        by_hmac(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        by_hmac(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
        by_hmac(json.dumps(server.keys[0]).encode()),
        token("", algorithm="none"),
        token(RSA, algorithm="RS512"),
        token(RSA, algorithm="PS256"),
        token(OTHER_RSA),
        token(RSA, "e1"),
        token(EC, "k1", "ES256"),
        token(generate_private_key(SECP256R1()), "e1", "ES256"),
        token(Ed25519PrivateKey.generate(), algorithm="EdDSA"),
        token(kid=None),
        token(kid=""),
        token(headers={"crit": ["exp"]}),
        token(headers={"jwk": rsa_key("k1", OTHER_RSA)}, key=OTHER_RSA),
        token()[:-6],
        token().rpartition(".")[0],
        "a.b.c",
        "",
        "\udcff.a.b",
        token(padding="x" * 4_096),
    ]
    for credential in forged:
        await refused(verifier, credential)


def test_without_a_client_id_there_is_no_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    assert google_verifier(load_settings()) is None
    monkeypatch.setenv("DARKROOM_GOOGLE_CLIENT_ID", "")
    assert google_verifier(load_settings()) is None


async def test_the_environment_names_client_keys_and_issuer(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().google_jwks_url == "https://www.googleapis.com/oauth2/v3/certs"
    assert Settings().google_issuer == ISSUER
    monkeypatch.setenv("DARKROOM_GOOGLE_CLIENT_ID", "mine")
    monkeypatch.setenv("DARKROOM_GOOGLE_JWKS_URL", server.url)
    monkeypatch.setenv("DARKROOM_GOOGLE_ISSUER", "https://id.example.org")
    made = google_verifier(load_settings())
    assert made is not None
    now_s = int(time.time())
    credential = token(iss="https://id.example.org", aud="mine", iat=now_s, exp=now_s + 60)
    assert (await made.verify(credential)).id == GOOD["sub"]
    await refused(made, token(iat=now_s, exp=now_s + 60))


@pytest.mark.parametrize("url", ["http://keys.example.org/certs", "ftp://keys.example.org", "certs", ""])
def test_keys_of_others_come_by_https_alone(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_GOOGLE_JWKS_URL", url)
    with pytest.raises(SettingsError, match="DARKROOM_GOOGLE_JWKS_URL"):
        load_settings()
