"""What the topic `sessions` holds: which tokens have ended early, and when session tokens were last used.

The topic is compacted, so of each record key only the last record stays. Both facts about a session therefore have a
key of their own, `revoked.<session id>` and `seen.<session id>`: a gateway that has not heard of a revocation yet may
write that it saw the session, and must not push the revocation off the log by it. A session id is the `jti` of its
token; nothing here says whose it is. No value = the record has served and may be forgotten.
"""

from __future__ import annotations

import msgspec

SESSION_SCHEMA = 1


class SessionFact(msgspec.Struct, frozen=True, tag_field="kind", gc=False):
    """Base of what a record says."""


class SessionSeen(SessionFact, frozen=True, tag="seen"):
    """The token was used at `at_ms`. Written every few minutes, so a later use may be missing."""

    at_ms: int


class SessionRevoked(SessionFact, frozen=True, tag="revoked"):
    """The token does not count any more, from `at_ms` on."""

    at_ms: int


AnySessionFact = SessionSeen | SessionRevoked


class SessionRecord(msgspec.Struct, frozen=True, gc=False):
    """A fact about a session, which means nothing after `until_ms`: by then the token has ended by itself."""

    session: str
    until_ms: int
    fact: AnySessionFact
    schema: int = SESSION_SCHEMA


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SessionRecord)


def session_key(record: SessionRecord) -> bytes:
    """The record key on the topic."""
    return f"{record.fact.__struct_config__.tag}.{record.session}".encode()


def encode_session(record: SessionRecord) -> bytes:
    """The value of a `sessions` record."""
    return _encoder.encode(record)


def decode_session(value: bytes) -> SessionRecord:
    """The record in a value; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(value)
