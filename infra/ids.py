"""Identifiers as a port: ``<prefix>_`` + 26 lowercase base32 characters that hold 130 random bits."""

from __future__ import annotations

import random
import secrets
from typing import Protocol

_CHARACTERS = 26
_OF_BYTES = b"abcdefghijklmnopqrstuvwxyz234567" * (256 // 32)  # the character of a byte: five of its bits tell it


class IdSource(Protocol):
    """Mints identifiers that are unique without coordination."""

    def mint(self, prefix: str) -> str:
        """``prefix`` + ``_`` + 26 characters of RFC 4648 base32 in lower case."""
        ...


class SystemIds:
    """Unguessable identifiers from the operating system's random source."""

    def mint(self, prefix: str) -> str:
        return _render(prefix, secrets.token_bytes(_CHARACTERS))


class SeededIds:
    """The same identifiers in the same order for the same seed; for tests and simulations only."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # nosec B311 # for tests and simulations

    def mint(self, prefix: str) -> str:
        return _render(prefix, self._random.randbytes(_CHARACTERS))


def _render(prefix: str, random_bytes: bytes) -> str:
    return f"{prefix}_{random_bytes.translate(_OF_BYTES).decode('ascii')}"
