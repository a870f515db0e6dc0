"""A real server that publishes keys on the loopback interface, as Google does, and tokens of those keys."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa

from infra.http.google import GoogleVerifier, LoginRefused

NOW_S = 1_800_000_000
CLIENT = "client-1.apps.example.org"
ISSUER = "https://accounts.google.com"
RSA = generate_rsa(65537, 2048)
OTHER_RSA = generate_rsa(65537, 2048)
EC = generate_private_key(SECP256R1())
GOOD = {
    "iss": ISSUER,
    "aud": CLIENT,
    "sub": "110169484474386276334",
    "iat": NOW_S,
    "exp": NOW_S + 3_600,
    "email": "ada@example.org",
    "email_verified": True,
    "name": "Ada Lovelace",
}


class KeyServer:
    """Publishes `keys`, says `cache_control`, and counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [rsa_key("k1", RSA)]
        self.body: bytes | None = None
        self.status, self.cache_control, self.location = 200, "public, max-age=21600, must-revalidate", ""
        self.asked = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/certs"

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def _handler(outer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = json.dumps({"keys": outer.keys}).encode() if outer.body is None else outer.body
                self.send_response(outer.status)
                self.send_header("content-length", str(len(body)))
                self.send_header("cache-control", outer.cache_control)
                if outer.location:
                    self.send_header("location", outer.location)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


class Clock:
    """Both clocks of a verifier; `pass_s` moves them together."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now_s(self) -> float:
        return NOW_S + self.passed_s

    def monotonic(self) -> float:
        return 1_000 + self.passed_s


def rsa_key(kid: Any, key: RSAPrivateKey, **changed: Any) -> dict[str, Any]:
    """An entry of a key set, as Google writes it."""
    written = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    entry = {"kty": "RSA", "n": written["n"], "e": written["e"], "kid": kid, "alg": "RS256", "use": "sig", **changed}
    return {name: value for name, value in entry.items() if value is not None}


def ec_key(kid: str, key: Any, **changed: Any) -> dict[str, Any]:
    written = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    entry = {**written, "kid": kid, "alg": "ES256", "use": "sig", **changed}
    return {name: value for name, value in entry.items() if value is not None}


def token(key: Any = RSA, kid: str | None = "k1", algorithm: str = "RS256", headers: Any = None, **changed: Any) -> str:
    claims = {name: value for name, value in {**GOOD, **changed}.items() if value is not ...}
    named = {"kid": kid} if kid is not None else {}
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm, {**named, **(headers or {})})


def by_hmac(secret: bytes) -> str:
    """A token that says HS256, made with a public key as its secret; the library itself refuses to make one."""
    made = token(b"x" * 32, algorithm="HS256").rpartition(".")[0]
    seal = hmac.digest(secret, made.encode(), "sha256")
    return f"{made}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


async def refused(verifier: GoogleVerifier, credential: str) -> None:
    with pytest.raises(LoginRefused) as caught:
        await verifier.verify(credential)
    assert str(caught.value).endswith(".")
