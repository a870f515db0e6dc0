"""The keys that Google publishes: when they are fetched, which can be used, what is told where they cannot be had."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa

from infra.http.google import GoogleVerifier, IdentityProviderUnavailable
from tests.unit.http.google_keys import (
    CLIENT,
    EC,
    GOOD,
    ISSUER,
    NOW_S,
    OTHER_RSA,
    RSA,
    Clock,
    KeyServer,
    ec_key,
    refused,
    rsa_key,
    token,
)

TOO_LONG = json.dumps({"keys": [rsa_key("k1", RSA)]}).encode() + b" " * 300_000


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
