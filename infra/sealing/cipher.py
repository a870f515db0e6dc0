"""Sealing and opening. Pure but for the random nonce.

A sealed text is `<key id>.<base64url(nonce || ciphertext || tag)>` without padding. The associated data bind it to its
account and purpose, so that it opens nowhere else. Nonces are 96 random bits: good for 2^32 texts under one key (NIST
SP 800-38D, 8.3), far more than an account writes. Data keys stand on the log wrapped by the deployment's key: a format
byte, nonce, ciphertext, bound to account and key id.
"""

from __future__ import annotations

import base64
import binascii
import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DATA_KEY_BYTES = 32
_NONCE_BYTES = 12
_WRAP_FORMAT = b"\x01"


class SealBroken(ValueError):
    """The text is not what this account sealed for this purpose, or is no sealed text."""


class DataKey(msgspec.Struct, frozen=True):
    """A key of one account; `secret` never leaves the process unwrapped."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"DataKey({self.key_id!r})"


def new_secret() -> bytes:
    """The bytes of a new data key."""
    return os.urandom(DATA_KEY_BYTES)


def seal(key: DataKey, account: str, purpose: str, plaintext: bytes) -> str:
    """The sealed text. `key.key_id` must not contain a dot."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(key.secret).encrypt(nonce, plaintext, _bound(account, purpose))
    return f"{key.key_id}.{base64.urlsafe_b64encode(nonce + sealed).rstrip(b'=').decode()}"


def key_id_of(sealed: str) -> str:
    """The id of the key that opens the text. Raises SealBroken for a text of another form."""
    key_id, dot, _ = sealed.partition(".")
    if not dot or not key_id:
        raise SealBroken("this is no sealed text")
    return key_id


def open_sealed(key: DataKey, account: str, purpose: str, sealed: str) -> bytes:
    """What was sealed. Raises SealBroken for another account, purpose or key, and for changed texts."""
    key_id_of(sealed)
    text = sealed.partition(".")[2]
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return AESGCM(key.secret).decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], _bound(account, purpose))
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise SealBroken("this was not sealed for this account and purpose") from error


def wrap(wrapping_key: bytes, account: str, key: DataKey) -> bytes:
    """The data key as it stands in `keys`."""
    nonce = os.urandom(_NONCE_BYTES)
    return _WRAP_FORMAT + nonce + AESGCM(wrapping_key).encrypt(nonce, key.secret, _bound(account, key.key_id))


def unwrap(wrapping_key: bytes, account: str, key_id: str, wrapped: bytes) -> DataKey:
    """The data key out of `keys`. Raises SealBroken under another wrapping key, account or key id."""
    nonce, content = wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :]
    if wrapped[:1] != _WRAP_FORMAT:
        raise SealBroken("this is no wrapped key of a format that this release reads")
    try:
        return DataKey(key_id, AESGCM(wrapping_key).decrypt(nonce, content, _bound(account, key_id)))
    except (InvalidTag, ValueError) as error:
        raise SealBroken("the key was wrapped by another deployment's key") from error


def _bound(account: str, purpose: str) -> bytes:
    return f"{account}\n{purpose}".encode()
