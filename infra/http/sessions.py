"""Sessions: tokens that end before their time, by logout, by an operator or by lying idle.

Theory of operation
-------------------
A session is a token, known by its `jti`. Whether a token counts is its signature, its times and two facts that stand in
the compacted topic `sessions`: that it was revoked, and (of session tokens, those with `idle_s`) when it was last seen.
Every gateway holds a fold of the topic in memory, the `SessionTable`, and asks nothing else: no request waits for it.

- *Revoked*: the record is appended (acks=all), then stands in this gateway's table, then the client gets its answer.
  Other gateways read the topic four times a second. A gateway that starts has read all of it before it serves.
- *Seen*: a use is noted in memory. A record is due when the last one is older than 5 minutes (a quarter of the idle
  limit, where that is shorter) and is written by the loop that reads, never by the request. A session that lies idle
  ends `idle_s` after its last use that the gateway knows of; a record that was lost ends it up to those minutes early,
  never late. Its absolute end is the token's `exp`.

      issued --use--> good until min(last use + idle_s, exp) --use--> ... --idle, exp or revoked--> 401

- *Forgotten*: each record names the time after which it means nothing, because the token has ended by itself. Ten
  minutes later it leaves the table, and a tombstone takes it off the topic. Both are harmless in any order and number,
  and may fail: an ended token stays ended without them. Nothing else gets one: a revocation stays while it matters.

While Kafka is away revoking answers 503, everything else goes on with what is known, and the readiness check fails.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from infra.clock import Clock
from infra.http.tokens import LEEWAY_S, TTL_MAX_S, Caller, SessionClaims, TokenInvalid, TokenVerifier
from schemas.sessions import SessionRecord, SessionRevoked, SessionSeen

SEEN_EVERY_MS = 300_000
FORGET_AFTER_MS = 600_000
Kind = Literal["revoked", "seen"]


class SessionsUnavailable(Exception):
    """The revocation is not on the log, or nobody knows; the same call may work later."""


class Sessions(Protocol):
    """Ends sessions for every gateway."""

    async def revoke(self, session: str, until_ms: int) -> None:
        """On return the session counts no more here, and soon nowhere. `until_ms`: when its token ends by itself.

        Repeating is harmless. Raises SessionsUnavailable.
        """
        ...


@dataclass(slots=True)
class _Seen:
    at_ms: int
    written_ms: int
    until_ms: int


class SessionTable:
    """The fold of `sessions` and what this gateway has seen since; see the module. No clock, no I/O."""

    def __init__(self) -> None:
        self._revoked: dict[str, int] = {}
        self._seen: dict[str, _Seen] = {}
        self._unwritten: dict[str, None] = {}
        self._ends: list[tuple[int, Kind, str]] = []

    def __len__(self) -> int:
        return len(self._revoked) + len(self._seen)

    def admit(self, claims: SessionClaims, now_ms: int) -> None:
        """Note a use of the token. Raises TokenInvalid where it was revoked or has been idle for too long."""
        if claims.id in self._revoked:
            raise TokenInvalid("The session has been ended; log in again.")
        if claims.idle_s is not None:
            self._use(claims, claims.idle_s * 1000, now_ms)

    def apply(self, record: SessionRecord) -> None:
        """Take in a record of the topic; any order and repeats give the same table."""
        match record.fact:
            case SessionRevoked():
                self.revoke(record.session, record.until_ms)
            case SessionSeen(at_ms):
                seen = self._entry(record.session, at_ms, record.until_ms)
                seen.at_ms, seen.written_ms = max(seen.at_ms, at_ms), max(seen.written_ms, at_ms)
                seen.until_ms = max(seen.until_ms, record.until_ms)

    def forget(self, key: bytes, now_ms: int) -> None:
        """Take in a tombstone of the topic, where what it speaks of has ended here too."""
        kind, _, session = key.decode("utf-8", "replace").partition(".")
        if kind == "revoked" and self._revoked.get(session, now_ms) < now_ms:
            del self._revoked[session]
        elif kind == "seen" and session in self._seen and self._seen[session].until_ms < now_ms:
            del self._seen[session]

    def revoke(self, session: str, until_ms: int) -> None:
        """The token counts no more."""
        if session not in self._revoked:
            heapq.heappush(self._ends, (until_ms, "revoked", session))
        self._revoked[session] = max(until_ms, self._revoked.get(session, 0))

    def take_unwritten(self) -> list[SessionRecord]:
        """What should be written now; it counts as written until `keep_unwritten` says that it was not."""
        records = []
        for session in self._unwritten:
            seen = self._seen.get(session)
            if seen is not None and session not in self._revoked:
                seen.written_ms = seen.at_ms
                records.append(SessionRecord(session, seen.until_ms, SessionSeen(seen.at_ms)))
        self._unwritten = {}
        return records

    def keep_unwritten(self, records: Iterable[SessionRecord]) -> None:
        """These could not be written; they are due again, with what is known by then."""
        self._unwritten.update(dict.fromkeys(record.session for record in records))

    def take_ended(self, now_ms: int, most: int) -> list[bytes]:
        """Forget what means nothing any more; the keys that stand on the topic and deserve a tombstone."""
        keys: list[bytes] = []
        while self._ends and len(keys) < most and self._ends[0][0] + FORGET_AFTER_MS <= now_ms:
            _, kind, session = heapq.heappop(self._ends)
            until_ms = self._until_ms(kind, session)
            if until_ms is None:
                continue
            if until_ms + FORGET_AFTER_MS > now_ms:
                heapq.heappush(self._ends, (until_ms, kind, session))
            elif kind == "revoked":
                del self._revoked[session]
                keys.append(f"revoked.{session}".encode())
            elif self._seen.pop(session).written_ms:
                keys.append(f"seen.{session}".encode())
        return keys

    def _use(self, claims: SessionClaims, idle_ms: int, now_ms: int) -> None:
        issued_ms, seen = claims.issued_s * 1000, self._seen.get(claims.id)
        last_ms = issued_ms if seen is None else max(issued_ms, seen.at_ms)
        if now_ms >= last_ms + idle_ms:
            raise TokenInvalid("The session has been idle for too long; log in again.")
        ends_ms = (claims.ends_s + LEEWAY_S) * 1000
        if seen is None:
            seen = self._entry(claims.id, now_ms, min(ends_ms, now_ms + idle_ms))
        seen.at_ms = max(seen.at_ms, now_ms)
        seen.until_ms = min(ends_ms, seen.at_ms + idle_ms)
        if now_ms - max(seen.written_ms, issued_ms) >= min(SEEN_EVERY_MS, idle_ms // 4):
            self._unwritten[claims.id] = None

    def _entry(self, session: str, at_ms: int, until_ms: int) -> _Seen:
        seen = self._seen.get(session)
        if seen is None:
            seen = self._seen[session] = _Seen(at_ms, 0, until_ms)
            heapq.heappush(self._ends, (until_ms, "seen", session))
        return seen

    def _until_ms(self, kind: Kind, session: str) -> int | None:
        if kind == "revoked":
            return self._revoked.get(session)
        seen = self._seen.get(session)
        return None if seen is None else seen.until_ms


class SelfSigned(Protocol):
    """Tokens that are signed by a key which they name themselves (`infra.http.did`)."""

    def recognises(self, token: str) -> bool:
        """Whether the token claims to be one; nothing of it is checked."""
        ...

    def verify(self, token: str) -> Caller:
        """Who signed it. Raises TokenInvalid."""
        ...


class Authenticator:
    """Token to caller, however the token came: as a bearer or in a cookie."""

    def __init__(
        self, verifier: TokenVerifier, table: SessionTable, clock: Clock, did: SelfSigned | None = None
    ) -> None:
        """Without `did` no token that a DID has signed itself counts."""
        self._verifier, self._table, self._clock, self._did = verifier, table, clock, did

    def caller(self, token: str, *, did: bool = False) -> Caller:
        """Who asks, with `did` also by a token that a did:key has signed. A session token counts as used by it.

        Raises TokenInvalid.
        """
        if did and self._did is not None and self._did.recognises(token):
            caller = self._did.verify(token)
        else:
            caller = self._verifier.verify(token)
        if caller.session is not None:
            self._table.admit(caller.session, self._clock.now_ms())
        return caller


def end_of(claims: SessionClaims) -> int:
    """When the token has ended by itself, in ms."""
    return (claims.ends_s + LEEWAY_S) * 1000


def latest_end(now_ms: int) -> int:
    """When the last token that exists now will have ended by itself, in ms."""
    return now_ms + (TTL_MAX_S + LEEWAY_S) * 1000
