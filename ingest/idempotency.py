"""Idempotency keys: `Idempotency-Key` as in draft-ietf-httpapi-idempotency-key-header.

A key counts within its account and operation. What travels are keyed hashes: of the key, so that no client's text
stands on the log, and of the content, so that the decider can tell a repeat from another request under the same key.
Without the deployment's identifier key nobody can try out which prompt or file name a hash was made of.
"""

from __future__ import annotations

import hmac
from functools import lru_cache

import msgspec

from infra.http.problems import Problem, bad_field
from schemas.commands import IdempotencyKey

KEY_CHARS_MAX = 255
_KEY_HEX_CHARS = 32
_KEY_DOMAIN = b"darkroom idempotency key\n"
_CONTENT_DOMAIN = b"darkroom idempotent content\n"
_encoder = msgspec.json.Encoder(order="deterministic")


def checked_key(key: str) -> str:
    """The client's key; raises Problem 400 unless it is 1 to 255 printable ASCII characters."""
    if not 1 <= len(key) <= KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        raise bad_field("Idempotency-Key", f"This must be 1 to {KEY_CHARS_MAX} printable ASCII characters.")
    return key


def idempotency_key(identifier_key: bytes, account: str, operation: str, key: str, content: object) -> IdempotencyKey:
    """The key on the log. Equal contents give equal fingerprints whatever the order of their members."""
    named = f"{account}\n{operation}\n{key}".encode()
    held = account.encode() + b"\n" + _encoder.encode(content)
    return IdempotencyKey(
        _keyed_hash(identifier_key, _KEY_DOMAIN, named)[:_KEY_HEX_CHARS],
        _keyed_hash(identifier_key, _CONTENT_DOMAIN, held),
    )


def _keyed_hash(key: bytes, domain: bytes, text: bytes) -> str:
    """HMAC-SHA256 of `domain` and `text`, in hex."""
    hashed = _begun(key, domain).copy()
    hashed.update(text)
    return hashed.hexdigest()


@lru_cache(maxsize=8)
def _begun(key: bytes, domain: bytes) -> hmac.HMAC:
    """What is the same in every hash of a domain, which is half of the work on short texts."""
    return hmac.new(key, domain, "sha256")


def outcome_unknown(key: str) -> Problem:
    """503: the log did not say whether it has the command; the same key finds out without doing it twice."""
    detail = "It is not known whether the request was accepted; send it again with this Idempotency-Key to find out."
    return Problem(503, "outcome-unknown", detail, headers={"Retry-After": "1"}, extra={"idempotency_key": key})
