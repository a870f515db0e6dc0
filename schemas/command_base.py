"""What commands are made with; the types themselves stand in `commands`, `job_commands` and `asset_commands`."""

import msgspec

Json = str | int | bool | None  # parameters are flat; integers only, so that every reader sees the same number


class ReplyAddress(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where an answer goes: a gateway's incarnation and the correlation id it chose."""

    gateway: str
    correlation: str


class IdempotencyKey(msgspec.Struct, frozen=True, gc=False):
    """A client's key, hashed with its operation, and the fingerprint of the content it came with (both hex)."""

    key: str
    fingerprint: str


class StoredObject(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Bytes in the object store: key, size in bytes, sha256 in hex, format, size in pixels, length of a video in ms."""

    key: str
    bytes: int
    sha256: str
    format: str
    width: int
    height: int
    duration_ms: int = 0


class SealedPart(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A sealed text that stands in the object store instead of the log: `bytes` from `start` of the object `key`."""

    key: str
    start: int
    bytes: int


class PassedOver(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An engine that did not serve an attempt, and the word of why."""

    engine: str
    engine_version: str
    reason: str


class EngineRun(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Which engine served an attempt, its own id of the request, and the engines that were to and did not."""

    engine: str
    engine_version: str
    request: str = ""
    passed_over: tuple[PassedOver, ...] = ()


class Command(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """Base of all commands; `type` on the wire is the tag."""
