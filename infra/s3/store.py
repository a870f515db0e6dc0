"""The object store as a port: bytes under a key, written once.

Keys are `<account>/<minted id>`; an attempt's output is `<account>/<job id>/<attempt>`. A key is never reused and an
object never changed (design section 2, point 19): whoever knows the sha256 that stands in the log checks it on reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec


class ObjectNotFound(LookupError):
    """No object has this key."""


class ObjectTooLarge(ValueError):
    """The stream had more bytes than were allowed; nothing was stored."""


class IntegrityError(RuntimeError):
    """The stored bytes are not those whose sha256 was expected."""


class StoreUnavailable(ConnectionError):
    """The store did not answer, or answered that it cannot now; the same call may work later."""


class StoredBytes(msgspec.Struct, frozen=True):
    """What was written: key, size in bytes, sha256 in hex."""

    key: str
    size: int
    sha256: str


class ObjectHead(msgspec.Struct, frozen=True):
    """What the store says of an object without its bytes; `size` in bytes."""

    key: str
    size: int
    content_type: str


class ListedObject(msgspec.Struct, frozen=True):
    """What a listing says of an object: `size` in bytes; `modified_ms` is the store's clock, cut to the second."""

    key: str
    size: int
    modified_ms: int


class SignedPut(msgspec.Struct, frozen=True):
    """A URL that takes one object by PUT for a while; `headers` have to be sent with it exactly so."""

    url: str
    headers: Mapping[str, str]


class ObjectStore(Protocol):
    """Every method may raise StoreUnavailable."""

    async def put(self, key: str, body: bytes, content_type: str) -> StoredBytes:
        """Store the bytes. Repeating it with the same bytes is harmless."""
        ...

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], content_type: str, bytes_max: int
    ) -> StoredBytes:
        """Store a stream while hashing it; at most one part of 5 MiB stands in memory.

        Raises ObjectTooLarge past `bytes_max`. After any exception, also one that `chunks` raises, nothing is stored.
        """
        ...

    async def get(self, key: str, sha256: str | None = None) -> bytes:
        """Return the bytes. Raises ObjectNotFound, and IntegrityError when they are not those of `sha256` (hex)."""
        ...

    def stream(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to but not including `end`. Raises ObjectNotFound at the first step."""
        ...

    async def head(self, key: str) -> ObjectHead:
        """Describe the object. Raises ObjectNotFound."""
        ...

    async def exists(self, key: str) -> bool:
        """Tell whether the key has an object."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; a key without one is fine."""
        ...

    async def signed_put(self, key: str, expires_s: int, size: int | None = None) -> SignedPut:
        """Let whoever has the answer put this object for `expires_s` seconds; with `size`, of that many bytes alone.

        They may do it more than once: what was read under such a key may be other bytes the next time.
        """
        ...

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Remove the objects, a thousand a request; keys without one are fine. After an exception some may be left."""
        ...

    def pages(self, prefix: str = "") -> AsyncIterator[Sequence[ListedObject]]:
        """The objects whose keys begin with `prefix`, by pages of at most a thousand, in the order of their keys.

        What is written or removed meanwhile may be in it or not.
        """
        ...

    async def abort_uploads(self, before_ms: int) -> int:
        """Forget the parts of uploads that began before `before_ms` and were never finished; how many there were."""
        ...


def checked(key: str, body: bytes, sha256: str | None) -> bytes:
    """Return `body` if it is what `sha256` (hex, None for any) names; raises IntegrityError."""
    if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256:
        raise IntegrityError(f"the bytes of {key} are not those that were stored")
    return body
