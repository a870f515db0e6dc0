"""What every event is made with; the types themselves stand in `events` and `job_events`."""

import msgspec

from schemas.amounts import WindowKind

EVENT_SCHEMA = 1


class WindowUse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Units taken from the window of `kind` that began at `start_ms`."""

    kind: WindowKind
    start_ms: int
    units: int


class LotUse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Units of the lot that was granted at the position `lot` and is gone at `expires_ms` (None: never)."""

    lot: str
    units: int
    expires_ms: int | None = None


class IdempotencyUse(msgspec.Struct, frozen=True, gc=False):
    """The key (hex) and fingerprint a decision was made under, and when the key is forgotten."""

    key: str
    fingerprint: str
    expires_ms: int


class EventData(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """Base of all events; `type` in the value is the tag."""
