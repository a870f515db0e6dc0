"""The table of sessions: used, idle, revoked, forgotten; whatever order the topic's records come in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.http.sessions import FORGET_AFTER_MS, SEEN_EVERY_MS, SessionTable, end_of
from infra.http.tokens import SessionClaims, TokenInvalid
from schemas.sessions import SessionRecord, SessionRevoked, SessionSeen, session_key

BORN_S = 1_800_000_000
BORN_MS = BORN_S * 1000
DAY_S, HOUR_MS = 86_400, 3_600_000
PLAIN = SessionClaims("plain", BORN_S, BORN_S + DAY_S)
SLIDING = SessionClaims("sliding", BORN_S, BORN_S + 30 * DAY_S, DAY_S)


def is_good(table: SessionTable, claims: SessionClaims, now_ms: int) -> bool:
    """Whether a use now is let in."""
    try:
        table.admit(claims, now_ms)
    except TokenInvalid:
        return False
    return True


def test_a_plain_token_leaves_no_trace() -> None:
    table = SessionTable()
    table.admit(PLAIN, BORN_MS)
    assert len(table) == 0
    assert table.take_unwritten() == []


def test_a_session_lives_as_long_as_it_is_used_and_ends_a_day_after() -> None:
    table = SessionTable()
    for hour in range(0, 24 * 10, 23):
        table.admit(SLIDING, BORN_MS + hour * HOUR_MS)
    last_ms = BORN_MS + 230 * HOUR_MS
    assert is_good(table, SLIDING, last_ms + 24 * HOUR_MS - 1)
    with pytest.raises(TokenInvalid, match="idle"):
        table.admit(SLIDING, last_ms + 48 * HOUR_MS)


def test_a_session_that_was_never_used_is_idle_from_its_birth_on() -> None:
    assert is_good(SessionTable(), SLIDING, BORN_MS + 24 * HOUR_MS - 1)
    assert not is_good(SessionTable(), SLIDING, BORN_MS + 24 * HOUR_MS)


def test_a_refused_use_is_no_use() -> None:
    table = SessionTable()
    late_ms = BORN_MS + 24 * HOUR_MS
    assert not is_good(table, SLIDING, late_ms)
    assert not is_good(table, SLIDING, late_ms + 1)
    assert len(table) == 0


def test_a_revoked_token_counts_no_more_plain_or_sliding() -> None:
    table = SessionTable()
    for claims in (PLAIN, SLIDING):
        table.admit(claims, BORN_MS)
        table.revoke(claims.id, end_of(claims))
        with pytest.raises(TokenInvalid, match="ended"):
            table.admit(claims, BORN_MS + 1)


def test_uses_are_written_every_five_minutes_at_most() -> None:
    table, written = SessionTable(), []
    for second in range(0, 3600, 10):
        table.admit(SLIDING, BORN_MS + second * 1000)
        written += table.take_unwritten()
    times = [record.fact.at_ms for record in written]
    assert times == [BORN_MS + number * SEEN_EVERY_MS for number in range(1, 12)]
    assert {record.until_ms - record.fact.at_ms for record in written} == {DAY_S * 1000}


def test_what_could_not_be_written_is_due_again_with_what_is_known_by_then() -> None:
    table = SessionTable()
    table.admit(SLIDING, BORN_MS + SEEN_EVERY_MS)
    table.keep_unwritten(table.take_unwritten())
    table.admit(SLIDING, BORN_MS + SEEN_EVERY_MS + 7)
    (record,) = table.take_unwritten()
    assert record.fact == SessionSeen(BORN_MS + SEEN_EVERY_MS + 7)
    assert table.take_unwritten() == []


def test_another_gateway_knows_the_last_use_to_five_minutes() -> None:
    here, there = SessionTable(), SessionTable()
    for minute in range(24 * 60):
        here.admit(SLIDING, BORN_MS + minute * 60_000)
        for record in here.take_unwritten():
            there.apply(record)
    last_ms = BORN_MS + (24 * 60 - 1) * 60_000
    assert is_good(there, SLIDING, last_ms + DAY_S * 1000 - SEEN_EVERY_MS)
    assert not is_good(SessionTable(), SLIDING, last_ms + DAY_S * 1000 - SEEN_EVERY_MS)


def test_a_short_idle_limit_is_written_more_often() -> None:
    table, short = SessionTable(), SessionClaims("short", BORN_S, BORN_S + 3600, 60)
    table.admit(short, BORN_MS + 14_999)
    assert table.take_unwritten() == []
    table.admit(short, BORN_MS + 15_000)
    assert len(table.take_unwritten()) == 1


def test_a_revocation_outlives_the_late_word_that_the_session_was_seen() -> None:
    """Compaction keeps the last record of each key; a use that another gateway writes late must not be in its place."""
    end_ms = end_of(SLIDING)
    log = [
        SessionRecord(SLIDING.id, end_ms, SessionRevoked(BORN_MS + 5)),
        SessionRecord(SLIDING.id, end_ms, SessionSeen(BORN_MS + 6)),
    ]
    table = SessionTable()
    for record in {session_key(record): record for record in log}.values():
        table.apply(record)
    assert not is_good(table, SLIDING, BORN_MS + 7)


@given(st.randoms(use_true_random=False), st.lists(st.integers(1, 10**7), min_size=1, max_size=8), st.booleans())
def test_any_order_and_repeats_give_the_same_answers(rolls: random.Random, uses: list[int], revoked: bool) -> None:
    records = [
        SessionRecord(SLIDING.id, BORN_MS + at_ms + DAY_S * 1000, SessionSeen(BORN_MS + at_ms)) for at_ms in uses
    ]
    records += [SessionRecord(SLIDING.id, end_of(SLIDING), SessionRevoked(BORN_MS))] * revoked
    shuffled = records + rolls.choices(records, k=3)
    rolls.shuffle(shuffled)
    table = SessionTable()
    for record in shuffled:
        table.apply(record)
    assert is_good(table, SLIDING, BORN_MS + max(uses) + DAY_S * 1000 - 1) is not revoked


def test_what_has_ended_is_forgotten_ten_minutes_later_and_not_before() -> None:
    table = SessionTable()
    table.revoke(PLAIN.id, end_of(PLAIN))
    table.admit(SLIDING, BORN_MS + SEEN_EVERY_MS)
    table.take_unwritten()
    table.admit(SLIDING, BORN_MS + 2 * SEEN_EVERY_MS)  # moves the end of what is on the topic
    idle_end_ms = BORN_MS + 2 * SEEN_EVERY_MS + DAY_S * 1000
    assert table.take_ended(end_of(PLAIN) + FORGET_AFTER_MS - 1, 10) == []
    assert not is_good(table, PLAIN, end_of(PLAIN))
    assert table.take_ended(idle_end_ms + FORGET_AFTER_MS - 1, 10) == [b"revoked.plain"]
    assert table.take_ended(idle_end_ms + FORGET_AFTER_MS, 10) == [b"seen.sliding"]
    assert len(table) == 0
    assert not is_good(table, SLIDING, idle_end_ms + FORGET_AFTER_MS)


def test_only_what_stands_on_the_topic_gets_a_tombstone_and_not_too_many_at_once() -> None:
    table = SessionTable()
    table.admit(SLIDING, BORN_MS)
    for number in range(5):
        table.revoke(f"s{number}", BORN_MS + number)
    late_ms = BORN_MS + 40 * DAY_S * 1000
    assert len(table.take_ended(late_ms, 3)) == 3
    assert len(table.take_ended(late_ms, 3)) == 2
    assert table.take_ended(late_ms, 3) == []
    assert len(table) == 0


def test_a_tombstone_takes_nothing_that_still_means_something_here() -> None:
    table = SessionTable()
    table.revoke(PLAIN.id, end_of(PLAIN))
    table.admit(SLIDING, BORN_MS)
    for key in (b"revoked.plain", b"seen.sliding", b"nothing", b"\xff.\xff"):
        table.forget(key, BORN_MS + 1)
    assert len(table) == 2
    for key in (b"revoked.plain", b"seen.sliding"):
        table.forget(key, BORN_MS + 31 * DAY_S * 1000)
    assert len(table) == 0
