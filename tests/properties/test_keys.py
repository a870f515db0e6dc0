"""What an idempotency key promises (design section 6), against a model: the first answer, again, or a refusal."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas import commands as cmd
from schemas import events as ev
from schemas import topics
from schemas.plans import AccountTerms
from schemas.refusals import IdempotencyMismatch
from schemas.replies import JobDecided, JobEndedAnswer, Refused, Reply, decode_replies
from tests.properties.scripts import ACCOUNTS, DAY, SECOND, Player, Step


class Sent(NamedTuple):
    """A submit under a key with the fingerprint of a body, so long after the one before."""

    account: str
    key: str
    fingerprint: str
    pause_ms: int


class First(NamedTuple):
    """What was decided under a key."""

    sent: Sent
    at_ms: int
    reply: Reply
    job: str


_TTL_MS = AccountTerms().idempotency_ttl_ms
_SENT = st.builds(
    Sent,
    st.sampled_from(ACCOUNTS[:2]),
    st.sampled_from("abc"),
    st.sampled_from("12"),
    st.sampled_from((0, 0, SECOND, 3 * DAY)),
)


@given(st.lists(_SENT, min_size=2, max_size=30))
def test_a_key_gives_the_first_answer_again_and_refuses_another_body(script: list[Sent]) -> None:
    player, firsts = Player(), dict[tuple[str, str], First]()
    player.check_each = False
    for number, sent in enumerate(script):
        player.now_ms += sent.pause_ms
        job = f"job_{number}"
        events, reply = _submit(player, sent, job)
        first = firsts.get((sent.account, sent.key))
        if first is None or first.at_ms + _TTL_MS <= player.now_ms:
            assert not any(isinstance(event.data, ev.CommandDuplicate) for event in events)
            firsts.pop((sent.account, sent.key), None)
            if any(isinstance(event.data, ev.JobAccepted) for event in events):
                firsts[sent.account, sent.key] = First(sent, player.now_ms, reply, job)
        elif first.sent.fingerprint != sent.fingerprint:
            assert reply.answer == Refused(IdempotencyMismatch(first.job))
        else:
            duplicate = events[-1].data
            assert isinstance(duplicate, ev.CommandDuplicate)
            assert (duplicate.made, duplicate.of) == (first.job, first.reply.position)
            assert reply.position == first.reply.position
            assert _without_standing(reply) == _without_standing(first.reply)


@given(st.integers(0, 12), st.booleans())
def test_everybody_who_asked_under_a_key_is_told_of_the_end(repeats: int, succeeds: bool) -> None:
    """The last eight of them, as far as their gateways are known."""
    player = Player()
    for number in range(1 + repeats):
        _submit(player, Sent(ACCOUNTS[0], "a", "1", 0), f"job_{number}")
    before = len(player.outgoing)
    player.decide([player.command(Step("succeed" if succeeds else "fail", 0, 0, 0))])
    told = [reply.correlation for reply in _replies(player, before) if isinstance(reply.answer, JobEndedAnswer)]
    assert told == [f"job_{number}" for number in range(1 + repeats)][-8:]


def _replies(player: Player, before: int) -> list[Reply]:
    records = [record for record in player.outgoing[before:] if record.topic == topics.REPLIES]
    return [reply for record in records for reply in decode_replies(record.value or b"")]


def _submit(player: Player, sent: Sent, job: str) -> tuple[list[ev.Event], Reply]:
    """The events of a submit, and what its sender was told of the decision."""
    envelope = cmd.Envelope(
        id=f"cmd_{job}",
        account=sent.account,
        product="p",
        command=cmd.SubmitJob(job, "a", {}),
        sent_ms=player.now_ms,
        reply=cmd.ReplyAddress("gw_1", job),
        idempotency=cmd.IdempotencyKey(sent.key, sent.fingerprint),
    )
    before = len(player.outgoing)
    events = player.decide([envelope])
    return events, next(reply for reply in _replies(player, before) if reply.correlation == job)


def _without_standing(reply: Reply) -> JobDecided:
    """The answer but for what only the decision itself tells: how the account stood then."""
    assert isinstance(reply.answer, JobDecided)
    return msgspec.structs.replace(reply.answer, windows=(), plan="", plan_version=0)
