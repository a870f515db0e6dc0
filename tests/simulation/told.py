"""What clients were told against what stands on the log."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import events as ev
from schemas import topics
from schemas.codec import unpack_items
from schemas.commands import CommandUnreadable, decode_command
from schemas.positions import Position, parse_position
from schemas.replies import (
    AnyAnswer,
    AssetAccepted,
    AssetDeletion,
    BalanceChanged,
    Broken,
    Done,
    GroupDecided,
    JobCancelAccepted,
    JobDecided,
    JobEndedAnswer,
    JobHiddenAnswer,
    Refused,
)
from tests.simulation.broker import Broker
from tests.simulation.watch import Watch
from tests.simulation.workers import Told
from tests.simulation.world import PARTITIONS

Source = tuple[int, int, int]


class Journal:
    """The log by command id and by source."""

    def __init__(self, broker: Broker, watch: Watch) -> None:
        self.places: dict[str, list[Source]] = {}
        self.decisions: dict[Source, list[ev.Event]] = {}
        self.accepted: dict[str, list[ev.Event]] = {}
        self.made: dict[tuple[str, str], list[str]] = {}
        for partition in range(PARTITIONS):
            log = broker.partitions[topics.COMMANDS, partition]
            for record in log.readable(0, log.end(committed=False), committed=False):
                for index, item in enumerate(unpack_items(record.value)):
                    self._add(item, (partition, record.offset, index))
            for event in watch.events[partition]:
                self.decisions.setdefault((partition, *event.at.source), []).append(event)
                use = getattr(event.data, "idempotency", None)
                if isinstance(use, ev.IdempotencyUse):
                    self.made.setdefault((event.account, use.key), []).append(_made(event.data))
                if isinstance(event.data, ev.JobAccepted | ev.JobReused):
                    self.accepted.setdefault(event.data.job, []).append(event)

    def _add(self, item: object, place: Source) -> None:
        if isinstance(item, bytes):
            try:
                envelope = decode_command(item)
            except CommandUnreadable:
                return
            if envelope.actor == "user":
                self.places.setdefault(envelope.id, []).append(place)


def check_told(told: Sequence[Told], broker: Broker, watch: Watch) -> None:
    """Raise AssertionError for the first answer that the log does not bear out."""
    journal = Journal(broker, watch)
    for one in told:
        places = journal.places.get(one.envelope.id, [])
        assert len(places) <= 1, f"{one.envelope.id} stands {len(places)} times on the log"
        if one.how in ("answered", "pending"):
            assert one.appended is not None
            where = _source(one.appended)
            assert places == [where], f"{one.envelope.id} was acknowledged at {where} and stands at {places}"
            assert sum(event.last for event in journal.decisions[where]) == 1, f"{where} has not one decision"
        assert one.how != "not-appended" or not places, f"{one.envelope.id} was refused and stands at {places}"
        for reply in one.replies:
            position = parse_position(reply.position)
            assert position is not None
            events = journal.decisions[_source(position)]
            assert _bears_out(reply.answer, events, journal), f"{reply} is not what {events} say"
            key = one.envelope.idempotency
            if key is not None and isinstance(reply.answer, JobDecided | GroupDecided | AssetAccepted):
                made = journal.made.get((one.ask.account, key.key), [])
                assert _thing(reply.answer) in made, f"{reply} is not what its key made: {made}"


def _made(data: ev.EventData) -> str:
    """The id of what an event under a key made; a key may make another thing once its life is over."""
    return next((made for name in ("job", "group", "asset") if isinstance(made := getattr(data, name, None), str)), "")


def _thing(answer: JobDecided | GroupDecided | AssetAccepted) -> str:
    match answer:
        case JobDecided():
            return answer.job
        case GroupDecided():
            return answer.group
        case AssetAccepted():
            return answer.asset


def _bears_out(answer: AnyAnswer, events: Sequence[ev.Event], journal: Journal) -> bool:
    """Whether the decision at the position of an answer says the same."""
    data = [event.data for event in events]
    match answer:
        case JobDecided(job=job, cost=cost):
            accepted = [event.data for event in journal.accepted.get(job, [])]
            return len(accepted) == 1 and getattr(accepted[0], "cost", 0) == cost
        case JobEndedAnswer(job=job):
            return len(journal.accepted.get(job, [])) == 1
        case GroupDecided(group=group):
            return any(isinstance(one, ev.GroupAccepted) and one.group == group for one in data)
        case Refused(refusal=refusal):
            return [one.refusal for one in data if isinstance(one, ev.CommandRefused)] == [refusal]
        case JobCancelAccepted(job=job):
            return any(isinstance(one, ev.JobCanceled) and one.job == job for one in data)
        case JobHiddenAnswer(job=job):
            return any(isinstance(one, ev.JobHidden) and one.job == job for one in data)
        case AssetAccepted(asset=asset):
            return any(isinstance(one, ev.AssetRegistered) and one.asset == asset for one in data)
        case AssetDeletion(asset=asset):
            return any(isinstance(one, ev.AssetDeleted) and one.asset == asset for one in data)
        case BalanceChanged():
            return any(isinstance(one, ev.CreditsGranted | ev.CreditsRefunded | ev.CommandIgnored) for one in data)
        case Broken():
            return [one for one in data if isinstance(one, ev.CommandQuarantined | ev.CommandUnreadable)] != []
        case Done():
            return bool(data)
        case _:
            return True


def _source(position: Position) -> Source:
    return (position.partition, *position.source)
