"""Tokens that nobody of the deployment has signed, or not for this, or not for now."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.http.signing_keys import KeyFolder
from infra.local.layout import Layout
from tests.stack import Stack

_HOUR_S = 3_600
_ALGORITHMS = ("none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS256", "ES256", "PS256", "EdDSA\0")
_KIDS: tuple[Any, ...] = (
    None, "", "nobody", "../../../../dev/null", "/dev/null", "..", ".", "\0", "a" * 2_000, "' UNION SELECT 'x", "x; id",
    7, True, ["x"], {"x": 1}, "http://127.0.0.1/keys", "\ud800",
)  # fmt: skip


def _part(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Forger:
    """Makes tokens for one product; `folder` holds the deployment's keys, whose public halves anybody may know."""

    def __init__(self, stack: Stack, product: str) -> None:
        self._stack, self._product = stack, product
        self._folder = KeyFolder(Layout(stack.data).secrets / "jwt")
        self._kid, self._key = self._folder.signing(time.time())
        self._stranger = Ed25519PrivateKey.generate()

    def tokens(self) -> Mapping[str, str]:
        """Every forgery under its name."""
        makers: list[Callable[[], Mapping[str, str]]] = [
            self._unsigned, self._confused, self._named, self._timed, self._for_others, self._spoiled,
        ]  # fmt: skip
        return {name: token for make in makers for name, token in make().items()}

    def _claims(self, **changed: Any) -> dict[str, Any]:
        now_s = int(time.time())
        claims = {
            "iss": "darkroom", "aud": "local", "sub": "forger", "product": self._product, "plan": "default",
            "role": "admin", "jti": "forged", "iat": now_s, "exp": now_s + _HOUR_S,
        }  # fmt: skip
        return {name: value for name, value in {**claims, **changed}.items() if value is not None}

    def _signed(self, claims: Mapping[str, Any], key: Any = None, **header: Any) -> str:
        return jwt.encode(dict(claims), key or self._key, algorithm="EdDSA", headers={"kid": self._kid, **header})

    def _unsigned(self) -> Mapping[str, str]:
        body, tokens = _part(self._claims()), {}
        for algorithm in _ALGORITHMS:
            head = _part({"alg": algorithm, "typ": "JWT", "kid": self._kid})
            tokens[f"unsigned {algorithm}"] = f"{head}.{body}."
            tokens[f"nonsense {algorithm}"] = f"{head}.{body}.{_part(bytes(64))}"
        return tokens

    def _confused(self) -> Mapping[str, str]:
        """Signed with the public key as if it were a shared secret."""
        public = self._key.public_key()
        forms = {
            "raw": public.public_bytes(Encoding.Raw, PublicFormat.Raw),
            "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "nothing": b"",
        }
        tokens = {}
        for name, secret in forms.items():
            for algorithm, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
                text = f"{_part({'alg': algorithm, 'kid': self._kid})}.{_part(self._claims())}"
                tokens[f"{algorithm} with {name}"] = f"{text}.{_part(hmac.digest(secret, text.encode(), digest))}"
        return tokens

    def _named(self) -> Mapping[str, str]:
        """Signed by a stranger's key, under names and addresses that lead to it, or nowhere."""
        tokens = {}
        for number, kid in enumerate(_KIDS):
            text = f"{_part({'alg': 'EdDSA', 'kid': kid})}.{_part(self._claims())}"
            tokens[f"kid {number}"] = f"{text}.{_part(self._stranger.sign(text.encode()))}"
        own = _part(self._stranger.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        key = {"kty": "OKP", "crv": "Ed25519", "x": own}
        for header in ({"jwk": key}, {"jku": "http://127.0.0.1/keys"}, {"x5u": "http://127.0.0.1/x"}, {"x5c": [own]}):
            tokens[f"header {next(iter(header))}"] = self._signed(self._claims(), self._stranger, **header)
        tokens["stranger"] = self._signed(self._claims(), self._stranger)
        return tokens

    def _timed(self) -> Mapping[str, str]:
        now_s = int(time.time())
        times: Mapping[str, dict[str, Any]] = {
            "expired": {"iat": now_s - 2 * _HOUR_S, "exp": now_s - _HOUR_S},
            "expired long ago": {"iat": 0, "exp": 1},
            "not yet": {"nbf": now_s + _HOUR_S},
            "issued later": {"iat": now_s + _HOUR_S, "exp": now_s + 2 * _HOUR_S},
            "for ever": {"exp": now_s + 10**9},
            "for eternity": {"exp": 10**30},
            "endless": {"exp": float("inf")},
            "no number": {"exp": float("nan")},
            "negative": {"exp": -1},
            "text": {"exp": str(now_s + _HOUR_S)},
            "without an end": {"exp": None},
        }
        return {f"times {name}": self._raw(self._claims(**changed)) for name, changed in times.items()}

    def _for_others(self) -> Mapping[str, str]:
        changes: Mapping[str, dict[str, Any]] = {
            "deployment": {"aud": "elsewhere"},
            "deployments": {"aud": ["elsewhere", "nowhere"]},
            "no deployment": {"aud": None},
            "issuer": {"iss": "somebody"},
            "no subject": {"sub": ""},
            "subject of another kind": {"sub": ["admin"]},
            "no product": {"product": ""},
            "two products": {"product": f"{self._product}:x"},
            "no id": {"jti": None},
            "id of a path": {"jti": "../../x"},
            "role of another kind": {"role": ["admin"]},
        }
        return {f"for {name}": self._raw(self._claims(**changed)) for name, changed in changes.items()}

    def _raw(self, claims: Mapping[str, Any], header: Any = None) -> str:
        """Signed with the deployment's own key, whatever it says: what only its claims can be refused for."""
        text = f"{_part(header or {'alg': 'EdDSA', 'kid': self._kid})}.{_part(dict(claims))}"
        return f"{text}.{_part(self._key.sign(text.encode()))}"

    def _spoiled(self) -> Mapping[str, str]:
        """A good token, changed after it was signed; and texts that are no token."""
        good = self._stack.token("forger", product=self._product)
        head, body, signature = good.split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        deep = 900
        return {
            "role changed": f"{head}.{_part({**claims, 'role': 'admin'})}.{signature}",
            "signature cut": f"{head}.{body}.{signature[:40]}",
            "signature gone": f"{head}.{body}.",
            "signature of zeros": f"{head}.{body}.{_part(bytes(64))}",
            "two parts": f"{head}.{body}",
            "five parts": f"{head}.{body}.{signature}.{body}.{signature}",
            "longer": good + "A" * 8_000,
            "deep header": f"{_part(b'[' * deep)}.{body}.{signature}",
            "deeper header": f"{_part(b'[' * 1_300 + b']' * 1_300)}.{body}.{signature}",
            "deep claims": f"{head}.{_part(b'[' * 2_000)}.{signature}",
            "header is a list": f"{_part([])}.{body}.{signature}",
            "header is null": f"{_part(None)}.{body}.{signature}",
            "header is a number": f"{_part(b'1' * 2_000)}.{body}.{signature}",
            "header is no json": f"{_part(bytes(20))}.{body}.{signature}",
            "header is no utf-8": f"{_part(bytes([255]) * 20)}.{body}.{signature}",
            "critical": self._raw(claims, {"alg": "EdDSA", "kid": self._kid, "crit": ["exp"], "b64": False}),
            "claims are a list": self._signed_text(b"[]"),
            "claims are no json": self._signed_text(b"\x00\x01"),
            "claims are deep": self._signed_text(b"[" * 1_100 + b"]" * 1_100),
            "claims hold half a surrogate": self._signed_text(json.dumps({**claims, "sub": "\ud800"}).encode()),
            "dots": "...",
            "spaces": "a b c",
        }

    def _signed_text(self, content: bytes) -> str:
        text = f"{_part({'alg': 'EdDSA', 'kid': self._kid})}.{_part(content)}"
        return f"{text}.{_part(self._key.sign(text.encode()))}"


def keys_as_tokens(stack: Stack) -> list[str]:
    """What lies beside the keys, tried as a token: file names and contents never count."""
    folder: Path = Layout(stack.data).secrets / "jwt"
    return [path.name for path in sorted(folder.iterdir())]
