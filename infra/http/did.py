"""Bearer tokens that a `did:key` has signed itself: JWT by EdDSA whose issuer, subject and key are one.

Claims: `iss` = `sub` = the DID, `exp` at most 24 hours ahead; where they are there, `aud` has to name the deployment,
`iat` and `nbf` must have come, and `jti` is 1 to 128 characters of `A-Za-z0-9._~-`. No key is kept for such a token:
the DID is the public key (Ed25519; multibase `z`, multicodec 0xed01), so whoever can sign for it is it.

What such a token can be is therefore narrow, whatever it says: a user of one product, under its default plan, with an
account of its own. It can name no product, plan, role or workspace, and its session has an id that is hashed with the
DID, so that a DID which writes the `jti` of somebody else into its token ends nobody's session but its own.

Each token has one spelling: base64url and base58 only as an encoder writes them, no name twice in an object. Keys that
anybody can sign for (points of small order) do not count. Anybody can make any number of DIDs, so what was verified is
remembered apart from the deployment's own tokens, which no flood of DIDs can push out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infra.http.tokens import (
    ALGORITHM,
    LEEWAY_S,
    TOKEN_BYTES_MAX,
    Caller,
    SessionClaims,
    TokenInvalid,
    check_times,
    is_session_id,
)
from schemas.identifiers import account_id

DID_KEY = "did:key:"
DID_TTL_MAX_S = 86_400
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_CHARS = 47  # of the 34 bytes of a multicodec prefix and a key
_ED25519_PUB = b"\xed\x01"
_PART = re.compile(r"[A-Za-z0-9_-]+")
_PRIME = 2**255 - 19
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y = frozenset((0, 1, _PRIME - 1, _ORDER_8_Y, _PRIME - _ORDER_8_Y))
_NOT_ITS_OWN = ("product", "plan", "role", "workspace", "idle_s")
_CACHED_MAX = 20_000


class _Token(NamedTuple):
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


class _Known(NamedTuple):
    caller: Caller
    ends_s: float


class DidVerifier:
    """Verifies such tokens for one product; what was verified is remembered by its hash until it ends."""

    def __init__(
        self, identifier_key: bytes, deployment: str, product: str, now_s: Callable[[], float] = time.time
    ) -> None:
        self._identifier_key, self._deployment, self._product, self._now_s = identifier_key, deployment, product, now_s
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def recognises(self, token: str) -> bool:
        """Whether the token says that a `did:key` has issued it; nothing of it is checked."""
        payload = token.split(".", 2)[1:2]
        try:
            claims = json.loads(base64.urlsafe_b64decode(payload[0] + "=" * (-len(payload[0]) % 4)))
        except (IndexError, ValueError, RecursionError):
            return False
        return isinstance(claims, dict) and str(claims.get("iss")).startswith(DID_KEY)

    def verify(self, token: str) -> Caller:
        """The caller: a user of the product, its subject the DID. Raises TokenInvalid."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._known.get(digest)
        if known is not None:
            if self._now_s() < known.ends_s:
                return known.caller
            del self._known[digest]
        read = _read(token)
        caller = self._caller(read)
        self._known[digest] = _Known(caller, float(read.claims["exp"]) + LEEWAY_S)
        if len(self._known) > _CACHED_MAX:
            self._known.popitem(last=False)
        return caller

    def _caller(self, token: _Token) -> Caller:
        claims, did = token.claims, _signer(token)
        for name in _NOT_ITS_OWN:
            if name in claims:
                raise TokenInvalid(f"A token that a DID has signed itself cannot hold the claim `{name}`.")
        if "aud" in claims and not self._is_ours(claims["aud"]):
            raise TokenInvalid("The token's audience (`aud`) is not this deployment.")
        check_times(claims, self._now_s(), DID_TTL_MAX_S + LEEWAY_S)
        ends_s = math.ceil(claims["exp"])
        return Caller(
            account=account_id(self._identifier_key, self._product, did),
            product=self._product,
            subject=did,
            session=SessionClaims(_session_id(token), int(claims.get("iat", ends_s - DID_TTL_MAX_S)), ends_s),
        )

    def _is_ours(self, audience: object) -> bool:
        return audience == self._deployment or (isinstance(audience, list) and self._deployment in audience)


def is_did_token(token: str) -> bool:
    """Whether the token says that a `did:key` has issued it; for all others the deployment's keys decide."""
    try:
        issuer = _read(token).claims.get("iss")
    except TokenInvalid:
        return False
    return isinstance(issuer, str) and issuer.startswith(DID_KEY)


def did_session_id(token: str) -> str:
    """The id under which the session of such a token is ended; nothing is verified. Raises TokenInvalid."""
    return _session_id(_read(token))


def did_of(public_key: bytes) -> str:
    """The DID of a raw Ed25519 public key (32 bytes)."""
    number, text = int.from_bytes(_ED25519_PUB + public_key), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return f"{DID_KEY}z{text}"


def key_of(did: str) -> Ed25519PublicKey:
    """The key that a DID is. Raises TokenInvalid."""
    raw = _raw_key(did)
    if raw is None or did_of(raw) != did:  # another prefix, another kind of key, or another spelling
        raise TokenInvalid("The token's issuer is no `did:key` of an Ed25519 key.")
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _PRIME or y in _SMALL_ORDER_Y:
        raise TokenInvalid("The token's issuer is a key that anybody can sign for.")
    return Ed25519PublicKey.from_public_bytes(raw)


def _raw_key(did: str) -> bytes | None:
    """The last 32 of the 34 bytes that the DID spells, whatever the two before them are."""
    text = did.removeprefix(f"{DID_KEY}z")
    if len(text) != _BASE58_CHARS or not set(text) <= set(_BASE58):  # the length bounds the work
        return None
    number = 0
    for char in text:
        number = number * 58 + _BASE58.index(char)
    return number.to_bytes(34)[2:] if number.bit_length() <= 34 * 8 else None


def _signer(token: _Token) -> str:
    """The DID that has issued and signed the token and is its subject."""
    did = token.claims.get("iss")
    if token.header.get("alg") != ALGORITHM or "crit" in token.header or "b64" in token.header:
        raise TokenInvalid("The token's header has to say `EdDSA` and name no extension.")
    if str(token.header.get("typ", "JWT")).upper() != "JWT":
        raise TokenInvalid("The token's type (`typ`) is not JWT.")
    if not isinstance(did, str) or token.claims.get("sub") != did:
        raise TokenInvalid("The token's issuer and subject have to be the same DID.")
    try:
        key_of(did).verify(token.signature, token.signed)
    except InvalidSignature as error:
        raise TokenInvalid("The token is not signed by the DID that issued it.") from error
    return did


def _session_id(token: _Token) -> str:
    """Hashed with the DID: the `jti` is the client's own text, and must not hit another's session."""
    named = token.claims.get("jti")
    if "jti" not in token.claims:
        return f"did.{hashlib.sha256(token.signed).hexdigest()}"
    if not isinstance(named, str) or not is_session_id(named):
        raise TokenInvalid("The token's id (`jti`) is no session id.")
    whose = f"{token.claims.get('iss')} {named}".encode("utf-8", "surrogatepass")
    return f"did.{hashlib.sha256(whose).hexdigest()}"


def _read(token: str) -> _Token:
    """The token's parts, each in its one spelling; nothing is verified. Raises TokenInvalid."""
    if len(token) > TOKEN_BYTES_MAX:
        raise TokenInvalid(f"The token is longer than {TOKEN_BYTES_MAX} characters.")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenInvalid("The token is no JWT.")
    header, claims, signature = map(_decoded, parts)
    return _Token(_object(header), _object(claims), token.rpartition(".")[0].encode("ascii"), signature)


def _decoded(part: str) -> bytes:
    if _PART.fullmatch(part) is None or len(part) % 4 == 1:
        raise TokenInvalid("The token is no JWT.")
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:
        raise TokenInvalid("The token is not encoded as an encoder writes it.")
    return decoded


def _object(text: bytes) -> dict[str, Any]:
    try:
        read = json.loads(text.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise TokenInvalid("The token's header and claims have to be JSON objects that name nothing twice.") from error
    if not isinstance(read, dict):
        raise TokenInvalid("The token's header and claims have to be JSON objects that name nothing twice.")
    return read


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name stands twice")
    return read
