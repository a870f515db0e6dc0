"""Tokens of a did:key: one spelling for each, keys that are keys, sessions of their own, bounded memory."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from infra.http import did as module
from infra.http.did import did_of, did_session_id, is_did_token
from infra.http.sessions import SessionTable
from infra.http.tokens import TokenInvalid, is_session_id
from tests.unit.http.did_tokens import (
    DID,
    NOW_S,
    PUBLIC,
    STRANGER,
    STRANGERS_DID,
    Clock,
    claims_with,
    part,
    raw,
    refused,
    signed,
    verifier,
)


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
    clock = Clock()
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
