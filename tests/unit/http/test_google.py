"""Signing in with Google, against a real server that publishes keys on the loopback interface."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.http.google import GoogleVerifier, IdentityProviderUnavailable, LoginRefused, google_verifier
from infra.settings import Settings, SettingsError, load_settings

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


@pytest.fixture
def server() -> Iterator[KeyServer]:
    made = KeyServer()
    yield made
    made.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(server: KeyServer, clock: Clock) -> GoogleVerifier:
    return GoogleVerifier(CLIENT, server.url, ISSUER, now_s=clock.now_s, monotonic=clock.monotonic)


def rsa_key(kid: Any, key: RSAPrivateKey, **changed: Any) -> dict[str, Any]:
    """An entry of a key set, as Google writes it."""
    written = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    entry = {"kty": "RSA", "n": written["n"], "e": written["e"], "kid": kid, "alg": "RS256", "use": "sig", **changed}
    return {name: value for name, value in entry.items() if value is not None}


TOO_LONG = json.dumps({"keys": [rsa_key("k1", RSA)]}).encode() + b" " * 300_000


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


async def test_a_user_is_whom_google_says(verifier: GoogleVerifier) -> None:
    user = await verifier.verify(token())
    assert user.subject == "google:110169484474386276334"
    assert (user.email, user.name) == ("ada@example.org", "Ada Lovelace")


async def test_the_key_set_says_how_long_it_is_kept(verifier: GoogleVerifier, server: KeyServer, clock: Clock) -> None:
    await verifier.verify(token())
    clock.passed_s = 21_599
    await verifier.verify(token(exp=NOW_S + 40_000))
    assert server.asked == 1
    clock.passed_s = 21_601
    await verifier.verify(token(exp=NOW_S + 40_000))
    assert server.asked == 2


@pytest.mark.parametrize(
    ("cache_control", "kept_s"),
    [("max-age=0", 300), ("no-store", 300), ("", 300), ("s-max-age=9000", 300), ("private,max-age=999999999", 86_400)],
)
async def test_it_is_kept_five_minutes_at_least_and_a_day_at_most(
    cache_control: str, kept_s: int, verifier: GoogleVerifier, server: KeyServer, clock: Clock
) -> None:
    server.cache_control = cache_control
    await verifier.verify(token())
    for passed_s, asked in ((kept_s - 1, 1), (kept_s + 1, 2)):
        clock.passed_s = passed_s
        await verifier.verify(token(iat=NOW_S + passed_s, exp=NOW_S + passed_s + 60))
        assert server.asked == asked


async def test_a_new_key_is_found_and_an_old_one_ends(
    verifier: GoogleVerifier, server: KeyServer, clock: Clock
) -> None:
    await verifier.verify(token())
    server.keys = [rsa_key("k2", OTHER_RSA)]
    clock.passed_s = 61
    assert (await verifier.verify(token(OTHER_RSA, "k2"))).id == GOOD["sub"]
    assert server.asked == 2
    await refused(verifier, token())


async def test_made_up_keys_cost_one_fetch_a_minute(verifier: GoogleVerifier, server: KeyServer, clock: Clock) -> None:
    await asyncio.gather(*(refused(verifier, token(kid=f"made-up-{number}")) for number in range(50)))
    assert server.asked == 1
    clock.passed_s = 61
    await asyncio.gather(*(refused(verifier, token(kid=f"made-up-{number}")) for number in range(50)))
    assert server.asked == 2
    await verifier.verify(token())
    assert server.asked == 2


async def test_all_that_come_first_share_a_fetch(verifier: GoogleVerifier, server: KeyServer) -> None:
    users = await asyncio.gather(*(verifier.verify(token()) for _ in range(20)))
    assert {user.id for user in users} == {GOOD["sub"]}
    assert server.asked == 1


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


@pytest.mark.parametrize(
    "unusable",
    [
        rsa_key("k1", RSA, use="enc"),
        rsa_key("k1", RSA, alg="RS512"),
        rsa_key("k1", RSA, alg="HS256"),
        rsa_key("k1", RSA, kty="oct", k="c2VjcmV0"),
        rsa_key("k1", RSA, kty=None),
        rsa_key("k1", RSA, n="?"),
        rsa_key("k1", RSA, n=None),
        rsa_key(None, RSA),
        rsa_key(7, RSA),
        json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA)) | {"kid": "k1"},
        rsa_key("k1", generate_rsa(65537, 1024)),
        ec_key("k1", EC, alg=None),
        ec_key("k1", generate_private_key(SECP256K1())),
        "text",
    ],
)
async def test_keys_that_cannot_be_used_are_left_out(
    unusable: Any, verifier: GoogleVerifier, server: KeyServer
) -> None:
    server.keys = [unusable, rsa_key("k2", OTHER_RSA, alg=None, use=None)]
    assert (await verifier.verify(token(OTHER_RSA, "k2"))).id == GOOD["sub"]
    await refused(verifier, token())


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b'{"keys": []}', b'{"keys": 7}', b"[" * 5_000, TOO_LONG])
async def test_a_set_that_cannot_be_read_is_no_answer(body: bytes, verifier: GoogleVerifier, server: KeyServer) -> None:
    server.body = body
    with pytest.raises(IdentityProviderUnavailable):
        await verifier.verify(token())


async def test_a_failure_is_told_and_tried_again_soon(
    verifier: GoogleVerifier, server: KeyServer, clock: Clock
) -> None:
    server.status = 500
    for _ in range(5):
        with pytest.raises(IdentityProviderUnavailable, match="try again"):
            await verifier.verify(token())
    assert server.asked == 1
    server.status, clock.passed_s = 200, 5.0
    assert (await verifier.verify(token())).id == GOOD["sub"]


async def test_a_failure_does_not_touch_known_keys(verifier: GoogleVerifier, server: KeyServer, clock: Clock) -> None:
    await verifier.verify(token())
    server.status, clock.passed_s = 503, 61
    with pytest.raises(IdentityProviderUnavailable):
        await verifier.verify(token(kid="new"))
    assert (await verifier.verify(token())).id == GOOD["sub"]


async def test_no_redirect_is_followed(verifier: GoogleVerifier, server: KeyServer) -> None:
    server.status, server.location = 302, server.url
    with pytest.raises(IdentityProviderUnavailable):
        await verifier.verify(token())
    assert server.asked == 1


async def test_nobody_there_is_told_as_unavailable() -> None:
    with pytest.raises(IdentityProviderUnavailable):
        await GoogleVerifier(CLIENT, "http://127.0.0.1:9/certs", ISSUER).verify(token())


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
