"""What must hold of the committed view of the topics, whatever happened."""

from collections import Counter

from processors.audit import PartitionAudit
from processors.rebuild import Fold, differences
from processors.store import Store
from schemas import topics
from schemas.codec import unpack_items
from schemas.replies import BalanceChanged, Broken, Done, JobCancelAccepted, JobDecided, JobHiddenAnswer, Refused
from tests.laws import check_log, check_state, decoded
from tests.simulation.cluster import PARTITION, Cluster

DECISIONS = (JobDecided, Refused, Broken, BalanceChanged, Done, JobCancelAccepted, JobHiddenAnswer)


async def check(cluster: Cluster, *, quiet: bool = True) -> None:
    """Raise AssertionError for the first law that does not hold."""
    events = await cluster.events()
    check_log(events, quiet=quiet)
    audit = PartitionAudit(PARTITION)
    for event in events:
        audit.add(event)
    audit.finish(quiet=quiet)
    assert [str(violation) for violation in audit.violations] == []
    await _check_sources(cluster)
    await _check_state(cluster)
    await _check_answers(cluster)
    work = Counter((item.job, item.attempt) for item in await cluster.work())
    assert set(work.values()) <= {1}, "an attempt was handed out twice"
    for writer in cluster.tick_writers:
        pauses = [after - before for before, after in zip(writer.times_ms, writer.times_ms[1:], strict=False)]
        assert all(pause >= 1_000 for pause in pauses), "more than one tick a second"


async def _check_sources(cluster: Cluster) -> None:
    """Every item on the log is decided exactly once, and nothing else is."""
    begin = 0
    end = await cluster.log.end_offset(topics.COMMANDS, PARTITION, committed=False)
    items = []
    async for records in cluster.log.read(topics.COMMANDS, PARTITION, begin, end, committed=False):
        for record in records:
            items += [(record.offset, index) for index in range(len(unpack_items(record.value)))]
    decided = [event.at.source for event in await cluster.events() if event.last]
    assert decided == items, "the sources of the events are the items of the log, in order and once each"


async def _check_state(cluster: Cluster) -> None:
    """What stands in `accounts` is the fold of `events`."""
    stored, fold = Store(PARTITION), Fold(PARTITION)
    stored.load(await cluster.records(topics.ACCOUNTS))
    for event in await cluster.events():
        fold.add(event)
    assert list(differences(fold.values(), stored)) == []
    check_state(decoded(stored.values()))
    progress = stored.progress()
    assert (progress.offset, progress.index) == (fold.progress.offset, fold.progress.index)
    assert progress.commands == fold.progress.commands


async def _check_answers(cluster: Cluster) -> None:
    """Each command that names an address is answered with one decision."""
    answered = Counter(reply.correlation for reply in await cluster.replies() if isinstance(reply.answer, DECISIONS))
    for name, envelope in cluster.expected.items():
        if envelope.reply is not None:
            assert answered[name] == 1, f"{name} was answered {answered[name]} times"
