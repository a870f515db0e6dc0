"""What the topic `accesses` holds: who read, changed or deleted what, when and from where (design section 3).

A record is keyed by the account whose data was touched and stands in that account's partition; its value is what one
gateway noted about the account in about a second. Records are appended at least once: `batch` is unique to a record, so
a reader that has seen it drops the second. Nobody is named: `actor` and `address` are keyed hashes, each with a key of
its own, so that a log of accesses tells no more about people than it has to.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ACCESS_SCHEMA = 1
Action = Literal["read", "change", "delete"]
Role = Literal["user", "admin", "link", "anonymous"]


class Access(msgspec.Struct, frozen=True, gc=False):
    """One access, or `times` equal ones within the batch; `at_ms` and `trace` (W3C trace id) are those of the first.

    `actor` is the account id of the caller, `role` how the gate let it in; nobody is named by a signed link (`link`)
    and by a request for what is public that carries no token (`anonymous`).
    `objects` are the ids that were named or made; empty for the account as a whole, as lists do. `status` is the HTTP
    answer's; from 499 on nobody knows from it whether the change took place, `trace` leads to what did.
    """

    at_ms: int
    actor: str | None
    role: Role
    action: Action
    operation: str
    objects: tuple[str, ...]
    status: int
    address: str | None
    trace: str | None
    times: int = 1


class AccessRecord(msgspec.Struct, frozen=True, gc=False):
    """The value of an `accesses` record: accesses in the order in which they were noted."""

    batch: str
    account: str
    accesses: tuple[Access, ...]
    schema: int = ACCESS_SCHEMA


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AccessRecord)


def encode_accesses(record: AccessRecord) -> bytes:
    """The value of an `accesses` record."""
    return _encoder.encode(record)


def decode_accesses(value: bytes) -> AccessRecord:
    """The record in a value; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(value)
