"""Tokens that a did:key signs itself: only its own signature counts, and it makes nobody but a plain user."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.http import did as module
from infra.http.did import DidVerifier, did_of, did_session_id, is_did_token, key_of
from infra.http.sessions import SessionTable
from infra.http.tokens import TokenInvalid, is_session_id
from schemas.identifiers import account_id

IDENTIFIERS = b"i" * 32
NOW_S = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
DID = did_of(PUBLIC)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
STRANGERS_DID = did_of(STRANGER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
GOOD = {"iss": DID, "sub": DID, "exp": NOW_S + 3_600}


class _Clock:
    now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


def verifier(clock: _Clock | None = None) -> DidVerifier:
    return DidVerifier(IDENTIFIERS, "local", "pix-loom", clock or _Clock())


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


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b.c",
        signed().rpartition(".")[0],
        signed()[:-1],
        signed()[:-8],
        signed() + "=",
        signed() + "A",
        signed() + ".e30",
        signed().rpartition(".")[0] + ".",
        " " + signed(),
        signed().replace(".", "\n."),
        "\udcff" + signed(),
        signed().replace("e", "é", 1),
        raw("[" * 2_900),
        raw('"text"'),
        raw("[]"),
        raw("{"),
        raw("{}", header="[]"),
        raw("{}", header="[" * 2_900),
        "x" * 5_000,
        signed(padding="x" * 4_096),
    ],
)
def test_what_is_no_token(token: str) -> None:
    refused(token)


def test_a_token_has_one_spelling() -> None:
    """The last character of 64 bytes in base64url holds two bits of nothing; set, they are another text."""
    token = signed()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]
    assert base64.urlsafe_b64decode(other.split(".")[2] + "==") == base64.urlsafe_b64decode(token.split(".")[2] + "==")
    refused(other, "encoder")


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        (f'{{"iss":"{DID}","sub":"{STRANGERS_DID}","exp":{NOW_S + 60},"sub":"{DID}"}}', '{"alg":"EdDSA"}'),
        (f'{{"iss":"{DID}","sub":"{DID}","exp":1,"exp":{NOW_S + 60}}}', '{"alg":"EdDSA"}'),
        (f'{{"iss":"{DID}","sub":"{DID}","exp":{NOW_S + 60},"x":{{"a":1,"a":1}}}}', '{"alg":"EdDSA"}'),
        (f'{{"iss":"{DID}","sub":"{DID}","exp":{NOW_S + 60}}}', '{"alg":"none","alg":"EdDSA"}'),
    ],
)
def test_a_name_that_stands_twice_does_not_count(claims: str, header: str) -> None:
    refused(raw(claims, header), "twice")


def base58(content: bytes) -> str:
    """The same encoding as the module's, over any bytes."""
    zeros = len(content) - len(content.lstrip(b"\0"))
    number, text = int.from_bytes(content), ""
    while number:
        number, digit = divmod(number, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit] + text
    return "1" * zeros + text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "z",
        f"z1{DID[9:]}",
        f"z1{DID[9:-1]}",
        f"z{DID[9:-1]}",
        f"z{DID[9:]}1",
        f"z{DID[9:-1]}0",
        f"z{DID[9:-1]}l",
        f"z{'z' * 47}",
        f"z{'1' * 47}",
        f"Z{DID[9:]}",
        f"m{part(bytes([0xED, 1]) + PUBLIC)}",
        f"f{(bytes([0xED, 1]) + PUBLIC).hex()}",
        f"z{base58(bytes([0xEC, 1]) + PUBLIC)}",
        f"z{base58(bytes([0xED, 0]) + PUBLIC)}",
        f"z{base58(bytes([0xED]) + PUBLIC)}",
        f"z{base58(bytes([0xED, 1, 0]) + PUBLIC)}",
        f"z{base58(bytes([0xED, 1]) + PUBLIC[:-1])}",
        f"z{base58(PUBLIC)}",
    ],
)
def test_dids_that_are_no_ed25519_key(text: str) -> None:
    """Among them other multibases, an x25519 key (0xec01), cut and padded ones."""
    refused(signed(iss=f"did:key:{text}", sub=f"did:key:{text}"), "no `did:key` of an Ed25519 key")


ANYBODY = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes([1]) + bytes(30) + b"\x80",
    bytes.fromhex("ec" + "ff" * 30 + "7f"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    bytes.fromhex("ee" + "ff" * 30 + "7f"),
]


@pytest.mark.parametrize("public_key", ANYBODY, ids=lambda key: key.hex())
def test_keys_that_anybody_can_sign_for_do_not_count(public_key: bytes) -> None:
    """A point of small order: a signature of nothing fits one message in eight, for the first of them every one."""
    text = did_of(public_key)
    header, claims = b'{"alg":"EdDSA"}', json.dumps(claims_with(iss=text, sub=text)).encode()
    refused(f"{part(header)}.{part(claims)}.{part(bytes([1]) + bytes(63))}", "anybody")


def test_what_was_verified_is_remembered_until_it_ends() -> None:
    clock = _Clock()
    made, token = verifier(clock), signed(exp=NOW_S + 60)
    assert made.verify(token) is made.verify(token)
    clock.now_s = NOW_S + 64
    assert made.verify(token).subject == DID
    clock.now_s = NOW_S + 65
    with pytest.raises(TokenInvalid, match="expired"):
        made.verify(token)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHED_MAX", 3)
    made = verifier()
    tokens = [signed(jti=f"s{number}") for number in range(5)]
    callers = [made.verify(token) for token in tokens]
    assert made.verify(tokens[4]) is callers[4]
    assert made.verify(tokens[0]) is not callers[0]


def test_a_session_is_ended_by_its_id_and_by_nobody_else_s() -> None:
    """The `jti` is the client's own text: two DIDs with the same one, or a deployment's session of that id, differ."""
    mine, again = signed(jti="shared"), signed(jti="shared", exp=NOW_S + 60)
    theirs = signed(STRANGER, iss=STRANGERS_DID, sub=STRANGERS_DID, jti="shared")
    session, other = verifier().verify(mine).session, verifier().verify(theirs).session
    assert session is not None
    assert other is not None
    assert session.id == did_session_id(mine) == did_session_id(again)
    assert session.id not in {"shared", other.id}
    table = SessionTable()
    table.revoke(session.id, (NOW_S + 90_000) * 1000)
    table.admit(other, NOW_S * 1000)
    with pytest.raises(TokenInvalid, match="ended"):
        table.admit(session, NOW_S * 1000)


def test_a_token_without_an_id_is_its_own_session() -> None:
    first, second = verifier().verify(signed()).session, verifier().verify(signed(exp=NOW_S + 60)).session
    assert first is not None
    assert second is not None
    assert is_session_id(first.id)
    assert first.id == did_session_id(signed()) != second.id
    assert hashlib.sha256(signed().rpartition(".")[0].encode()).hexdigest() in first.id


def test_which_tokens_are_such_tokens() -> None:
    assert is_did_token(signed())
    assert is_did_token(signed(STRANGER))
    others = [signed(iss="darkroom"), signed(iss="did:web:example.org"), signed(iss=...), signed(iss=[DID])]
    assert not any(map(is_did_token, [*others, "", "a.b.c", "x" * 5_000, raw("[" * 2_900)]))
