"""A did:key, a stranger's, and tokens of theirs with any claims, headers and texts, well signed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.http.did import DidVerifier, did_of
from infra.http.tokens import TokenInvalid

IDENTIFIERS = b"i" * 32
NOW_S = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
DID = did_of(PUBLIC)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
STRANGERS_DID = did_of(STRANGER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
GOOD = {"iss": DID, "sub": DID, "exp": NOW_S + 3_600}


class Clock:
    now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


def verifier(clock: Clock | None = None) -> DidVerifier:
    return DidVerifier(IDENTIFIERS, "local", "pix-loom", clock or Clock())


def claims_with(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changed}.items() if value is not ...}


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def raw(claims: str, header: str = '{"alg":"EdDSA","typ":"JWT"}', key: Ed25519PrivateKey = KEY) -> str:
    """A token with exactly these texts, well signed."""
    signed = f"{part(header.encode())}.{part(claims.encode())}"
    return f"{signed}.{part(key.sign(signed.encode()))}"


def signed(key: Ed25519PrivateKey = KEY, header: dict[str, Any] | None = None, **changed: Any) -> str:
    return raw(json.dumps(claims_with(**changed)), json.dumps(header or {"alg": "EdDSA", "typ": "JWT"}), key)


def refused(token: str, match: str | None = None) -> None:
    with pytest.raises(TokenInvalid, match=match) as caught:
        verifier().verify(token)
    assert str(caught.value).endswith(".")
    assert str(caught.value).count(". ") == 0
