"""The keys that sign tokens: private keys (Ed25519) in PEM at `<secrets>/jwt/<kid>.pem`.

Theory of operation. A `kid` begins with the second from which its key signs: `1800000000-9f86d081`. Whoever verifies
looks at the folder again when its last look is over 5 s old, so a new key is known everywhere before its second comes
(`darkroom rotate-key` puts that half a minute ahead), and a key whose file is gone verifies nothing 5 s later.

    new file -> known to every verifier in 5 s -> its second: it signs -> a newer key signs -> its last token ends
                                                                                                  -> file taken away

A look lists names, times and sizes; only files that are new or changed are read. One that cannot be used is left out
and said once: a half-copied key must not stop the others. A folder that cannot be listed leaves what is known in force
for 30 s at most.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from infra.errors import OperatorError

LOOK_EVERY_S = 5.0
BLIND_MAX_S = 30.0
_Mark = tuple[int, int, int]


class KeyFolder:
    """The signing keys of a deployment, as they stand in the folder now."""

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._monotonic = folder, monotonic
        self._keys: dict[str, Ed25519PrivateKey] = {}
        self._public: dict[str, Ed25519PublicKey] = {}
        self._marks: dict[str, _Mark] = {}
        self._looked_at_s = self._seen_at_s = float("-inf")

    def public_key(self, kid: str) -> Ed25519PublicKey | None:
        """The key named `kid`, the same object as long as its file is the same; None where tokens of it do not count.

        `kid` is only looked up, never used as a path.
        """
        if self._monotonic() - self._looked_at_s > LOOK_EVERY_S:
            self._look()
        return self._public.get(kid)

    def signing(self, now_s: float) -> tuple[str, Ed25519PrivateKey]:
        """The key to sign with: the newest whose time has come. Raises OperatorError where there is none."""
        self._look()
        if not self._keys:
            raise OperatorError(f"There is no signing key in {self._folder}: start the stack once, it makes one.")
        kid = signing_kid(self._keys, now_s)
        return kid, self._keys[kid]

    def kids(self) -> list[str]:
        """The names of all usable keys, in the order in which they sign."""
        self._look()
        return sorted(self._keys, key=_order)

    def _look(self) -> None:
        self._looked_at_s = self._monotonic()
        try:
            marks = _marks(self._folder)
        except FileNotFoundError:
            marks = {}
        except OSError as error:
            if self._looked_at_s - self._seen_at_s > BLIND_MAX_S:
                self._keys, self._public, self._marks = {}, {}, {}
            _warn("signing-keys-not-listed", folder=str(self._folder), reason=str(error))
            return
        self._seen_at_s = self._looked_at_s
        for kid in self._keys.keys() - marks.keys():
            del self._keys[kid], self._public[kid]
        known, self._marks = self._marks, {}
        for kid, mark in marks.items():
            if known.get(kid) == mark or self._read(kid):
                self._marks[kid] = mark

    def _read(self, kid: str) -> bool:
        """Read one file; False when it should be tried again at the next look."""
        path = self._folder / f"{kid}.pem"
        try:
            content = path.read_bytes()
        except OSError as error:
            _warn("signing-key-not-read", path=str(path), reason=str(error))
            return False
        self._keys.pop(kid, None)
        self._public.pop(kid, None)
        try:
            key = load_pem_private_key(content, password=None)
            if not isinstance(key, Ed25519PrivateKey):
                raise ValueError("it is no Ed25519 private key")
            self._keys[kid], self._public[kid] = key, key.public_key()
        except (ValueError, TypeError) as error:
            _warn("signing-key-not-usable", path=str(path), reason=str(error))
        return True


def signing_kid(kids: Iterable[str], now_s: float) -> str:
    """Which of the keys signs now: the newest whose second has come, else the first whose second will come."""
    ordered = sorted(kids, key=_order)
    begun = [kid for kid in ordered if begins_s(kid) <= now_s]
    return begun[-1] if begun else ordered[0]


def begins_s(kid: str) -> int:
    """The second from which a key signs; 0 for a name that begins with no number."""
    number = kid.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else 0


def _order(kid: str) -> tuple[int, str]:
    return begins_s(kid), kid


def _marks(folder: Path) -> dict[str, _Mark]:
    """Of each key file what changes when it is written anew."""
    marks = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".pem") and not entry.name.startswith("."):
                try:
                    stat = entry.stat()
                except FileNotFoundError:  # taken away between the two calls
                    continue
                marks[entry.name.removesuffix(".pem")] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return marks


def _warn(event: str, **fields: str) -> None:
    from infra.logs import get_logger  # here, because commands that make tokens have no time to load it

    get_logger(__name__).warning(event, **fields)
