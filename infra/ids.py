"""Identifiers as a port: ``<prefix>_`` + 26 lowercase base32 characters that hold 130 random bits."""

from __future__ import annotations

import base64
import random
import secrets
from typing import Protocol

_CHARACTERS = 26
_BITS = 5 * _CHARACTERS
_BYTES = -(-_BITS // 8)
_PADDING_BITS = 8 * _BYTES - _BITS


class IdSource(Protocol):
    """Mints identifiers that are unique without coordination."""

    def mint(self, prefix: str) -> str:
        """``prefix`` + ``_`` + 26 characters of RFC 4648 base32 in lower case."""
        ...


class SystemIds:
    """Unguessable identifiers from the operating system's random source."""

    def mint(self, prefix: str) -> str:
        return _render(prefix, secrets.randbits(_BITS))


class SeededIds:
    """The same identifiers in the same order for the same seed; for tests and simulations only."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # nosec B311 # for tests and simulations

    def mint(self, prefix: str) -> str:
        return _render(prefix, self._random.getrandbits(_BITS))


def _render(prefix: str, bits: int) -> str:
    return f"{prefix}_{base64.b32encode((bits << _PADDING_BITS).to_bytes(_BYTES)).decode()[:_CHARACTERS].lower()}"
