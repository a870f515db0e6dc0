"""Bytes on the topics: packed commands, state values, canonical JSON.

A `commands` record is a format byte, then per item a 4-byte big-endian length and a UTF-8 JSON envelope. A broken
length ends the record: everything before it is decided, the rest becomes one unreadable item, so that a position
(offset, index) names the same thing for every reader.

A state value is a schema version (1 byte), the due time in ms (8 bytes big-endian, 0 = none), then JSON: a cold start
rebuilds its timers from the first nine bytes without decoding the rest (design section 2, point 11).
"""

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

PACK_FORMAT = 1
STATE_VERSION = 1
_LENGTH = struct.Struct(">I")
_STATE_HEAD = struct.Struct(">BQ")
NO_TIMER = _STATE_HEAD.pack(STATE_VERSION, 0)
"""What a state value begins with that no timer waits on."""
_encoder = msgspec.json.Encoder()


class Unreadable(msgspec.Struct, frozen=True):
    """An item that cannot be told from its neighbours; `data` is what was there, `reason` one word of why."""

    data: bytes
    reason: str


class StateTooNew(Exception):
    """A state record was written by a newer release than this one; refuse to run rather than guess."""


def encode_json(value: Any) -> bytes:
    """Canonical JSON: keys in field order, integers only, no spaces. Equal records give equal bytes."""
    return _encoder.encode(value)


def pack_items(items: Sequence[bytes]) -> bytes:
    """One `commands` record value that holds the items in order."""
    parts = [bytes((PACK_FORMAT,))]
    for item in items:
        parts.append(_LENGTH.pack(len(item)))
        parts.append(item)
    return b"".join(parts)


def packed_size(items: Sequence[bytes]) -> int:
    """The size in bytes of `pack_items(items)` without making it."""
    return 1 + sum(4 + len(item) for item in items)


def unpack_items(value: bytes | None) -> list[bytes | Unreadable]:
    """The items of a record; never raises, never empty, so that each record has at least one position."""
    if not value:
        return [Unreadable(b"", "empty-record")]
    if value[0] != PACK_FORMAT:
        return [Unreadable(bytes(value), "unknown-format")]
    items: list[bytes | Unreadable] = []
    at, end = 1, len(value)
    while at < end:
        if at + 4 > end:
            items.append(Unreadable(bytes(value[at:]), "broken-length"))
            break
        (length,) = _LENGTH.unpack_from(value, at)
        if at + 4 + length > end:
            items.append(Unreadable(bytes(value[at:]), "broken-length"))
            break
        items.append(value[at + 4 : at + 4 + length])
        at += 4 + length
    return items or [Unreadable(b"", "empty-record")]


def encode_state(record: Any, due_ms: int) -> bytes:
    """The value of a state record; `due_ms` 0 means that no timer waits on it."""
    head = _STATE_HEAD.pack(STATE_VERSION, due_ms) if due_ms else NO_TIMER
    return head + _encoder.encode(record)


def state_due_ms(value: bytes) -> int:
    """The due time of a state value without decoding it; raises StateTooNew for a newer schema version."""
    if value.startswith(NO_TIMER):  # nearly all of the half a million that a takeover reads
        return 0
    version, due_ms = _STATE_HEAD.unpack_from(value)
    if version > STATE_VERSION:
        raise StateTooNew(f"state record of schema version {version}; this release reads up to {STATE_VERSION}")
    return int(due_ms)


def state_json(value: bytes) -> memoryview:
    """The JSON part of a state value."""
    return memoryview(value)[_STATE_HEAD.size :]
