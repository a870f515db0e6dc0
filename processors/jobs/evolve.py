"""What events about jobs change: the job's record, its account's queue and slots, the round of waiting accounts.

The queue of an account holds its waiting jobs under growing numbers; the round (`ring`) of a partition holds each
account that has a waiting job and a free slot, exactly once. Drawing takes the account at the head and, where it still
qualifies, puts it at the tail: round robin, O(1) for each step (design section 2, point 17). Holes that cancels leave
are skipped once, because the head moves past them.
"""

from typing import TypeVar

from msgspec.structs import replace

from processors.accounts.evolve import remember
from processors.accounts.state import (
    Account,
    LaneShare,
    LaneUse,
    Queued,
    RingEntry,
    queued_key,
    ring_key,
)
from processors.assets.evolve import add_asset, refer_again
from processors.assets.state import Asset, Reuse, reuse_key
from processors.jobs.state import (
    REPLY_ADDRESSES_MAX,
    Attempted,
    Backoff,
    Ending,
    Job,
    Phase,
    Released,
    Running,
    Waiting,
    job_key,
)
from processors.overlay import Overlay, Record
from schemas import events as ev
from schemas.commands import ReplyAddress
from schemas.identifiers import PARTITION_STREAM_PREFIX
from schemas.replies import GroupDecided, JobCancelAccepted, JobDecided, JobHiddenAnswer

Lane = TypeVar("Lane", LaneUse, LaneShare)


def job_of(state: Overlay, account: str, job: str) -> Job:
    """The record of a live job; events about one that has ended are a bug."""
    return _live(state.get(job_key(account, job)), job)


def _live(record: Record | None, job: str) -> Job:
    assert isinstance(record, Job), f"{job} has ended before"
    return record


def group_accepted(state: Overlay, event: ev.Event, data: ev.GroupAccepted) -> None:
    answer = GroupDecided(data.group, data.jobs, data.costs, data.balance, event.time_ms)
    remember(state, event, data.idempotency, data.group, answer)


def job_accepted(state: Overlay, event: ev.Event, data: ev.JobAccepted) -> None:
    job = Job(
        phase=Waiting(data.queue_number),
        model=data.model,
        engine=data.engine,
        engine_version=data.engine_version,
        lane=data.lane,
        params=data.params,
        input=data.input,
        sealed=data.sealed,
        cost=data.cost,
        plan_version=data.plan_version,
        attempts_max=data.attempts_max,
        run_deadline_ms=data.run_deadline_ms,
        queue_until_ms=data.queue_until_ms,
        client_waits_until_ms=data.client_waits_until_ms,
        replies=_with_address((), data.reply),
        trace=event.trace,
        mask=data.mask,
        sealed_at=data.sealed_at,
        reuse=data.reuse,
        original_purged=data.original_purged,
        erasures=state.header(event.account).erasures,
    )
    answer = JobDecided(data.job, "accepted", data.cost, data.balance, event.time_ms)
    remember(state, event, data.idempotency, data.job, answer)
    _enqueue(state, event, data.job, job, data.in_flight_jobs_max, data.weight)


def job_reused(state: Overlay, event: ev.Event, data: ev.JobReused) -> None:
    add_asset(state, event.account, data.asset, Asset(data.number, data.result, data.thumbnail, data.expires_ms))
    refer_again(state, event.account, data.result.key)
    answer = JobDecided(data.job, "succeeded", 0, data.balance, event.time_ms)
    remember(state, event, data.idempotency, data.job, answer)


def attempt_released(state: Overlay, event: ev.Event, data: ev.AttemptReleased) -> None:
    key = job_key(event.account, data.job)
    job = _live(state.get(key), data.job)
    header, use, head = _dequeue(state, event, data.job, job)
    phase = Released(data.lease_until_ms, data.run_until_ms)
    state.changes[key] = replace(job, phase=phase, attempt=data.attempt)
    over = use.turn + 1 >= use.weight
    turn = 0 if over else use.turn + 1
    use = replace(use, running=use.running + 1, queued=use.queued - 1, head=head, turn=turn)
    _place(state, event, header, use, released=1, turn_over=over)


def job_started(state: Overlay, event: ev.Event, data: ev.JobStarted) -> None:
    job = job_of(state, event.account, data.job)
    assert isinstance(job.phase, Released)
    running = Running(data.lease_until_ms, job.phase.run_until_ms)
    state.changes[job_key(event.account, data.job)] = replace(job, phase=running)


def lease_renewed(state: Overlay, event: ev.Event, data: ev.LeaseRenewed) -> None:
    job = job_of(state, event.account, data.job)
    phase = job.phase
    assert isinstance(phase, Attempted)
    renewed: Phase = replace(phase, lease_until_ms=data.lease_until_ms)
    state.changes[job_key(event.account, data.job)] = replace(job, phase=renewed)


def attempt_ended(state: Overlay, event: ev.Event, data: ev.AttemptEnded) -> None:
    job = job_of(state, event.account, data.job)
    after: Job | None = None
    if data.retry_at_ms is not None:
        away_since = job.unavailable_since_ms or event.time_ms if data.reason == "engine-unavailable" else None
        after = replace(
            job,
            phase=Backoff(data.retry_at_ms),
            failures=job.failures + data.counted,
            crashes=job.crashes + (data.reason == "engine-crashed"),
            unavailable_since_ms=away_since,
        )
    state.changes[job_key(event.account, data.job)] = after
    _free_slot(state, event, job.lane)


def job_requeued(state: Overlay, event: ev.Event, data: ev.JobRequeued) -> None:
    job = replace(job_of(state, event.account, data.job), phase=Waiting(data.queue_number))
    _enqueue(state, event, data.job, job)


def job_succeeded(state: Overlay, event: ev.Event, data: ev.JobSucceeded) -> None:
    reuse = job_of(state, event.account, data.job).reuse if data.reuse_until_ms is not None else None
    asset = Asset(data.number, data.result, data.thumbnail, data.expires_ms, reuse=reuse)
    add_asset(state, event.account, data.asset, asset)
    if reuse is not None and data.reuse_until_ms is not None:
        entry = Reuse(data.job, data.asset, data.reuse_until_ms)
        state.changes[reuse_key(event.account, reuse)] = entry
    _leave(state, event, data.job)


def job_failed(state: Overlay, event: ev.Event, data: ev.JobFailed) -> None:
    _leave(state, event, data.job)


def job_expired(state: Overlay, event: ev.Event, data: ev.JobExpired) -> None:
    _leave(state, event, data.job)


def job_canceled(state: Overlay, event: ev.Event, data: ev.JobCanceled) -> None:
    answer = JobCancelAccepted(data.job, data.balance, event.time_ms)
    remember(state, event, data.idempotency, data.job, answer)
    job = job_of(state, event.account, data.job)
    if isinstance(job.phase, Released | Running):
        ending = Ending(job.phase.lease_until_ms, job.phase.run_until_ms)
        state.changes[job_key(event.account, data.job)] = replace(job, phase=ending, replies=())
    else:
        _leave(state, event, data.job)


def job_hidden(state: Overlay, event: ev.Event, data: ev.JobHidden) -> None:
    remember(state, event, data.idempotency, data.job, JobHiddenAnswer(data.job, data.canceled, data.balance))


def command_duplicate(state: Overlay, event: ev.Event, data: ev.CommandDuplicate) -> None:
    if data.reply is None:
        return
    key = job_key(event.account, data.made)
    job = state.get(key)
    if isinstance(job, Job):
        state.changes[key] = replace(job, replies=_with_address(job.replies, data.reply))


def _with_address(held: tuple[ReplyAddress, ...], address: ReplyAddress | None) -> tuple[ReplyAddress, ...]:
    return held if address is None else (*held, address)[-REPLY_ADDRESSES_MAX:]


def _leave(state: Overlay, event: ev.Event, name: str) -> None:
    """The job's record ends, with its place in the queue or its slot."""
    job = job_of(state, event.account, name)
    state.changes[job_key(event.account, name)] = None
    match job.phase:
        case Running() | Released() | Ending():
            _free_slot(state, event, job.lane)
        case Waiting():
            header, use, head = _dequeue(state, event, name, job)
            _place(state, event, header, replace(use, queued=use.queued - 1, head=head))
        case Backoff():
            pass


def _enqueue(
    state: Overlay, event: ev.Event, name: str, job: Job, limit: int | None = None, weight: int | None = None
) -> None:
    assert isinstance(job.phase, Waiting)
    header = state.header(event.account)
    use = header.lane(job.lane) or LaneUse(job.lane, limit or 1)
    assert job.phase.number == use.tail, f"{name} takes place {job.phase.number}, the next is {use.tail}"
    state.changes[job_key(event.account, name)] = job
    state.changes[queued_key(event.account, job.lane, use.tail)] = Queued(name)
    limit, weight = limit or use.limit, weight or use.weight
    use = replace(use, limit=limit, queued=use.queued + 1, tail=use.tail + 1, weight=weight)
    _place(state, event, header, use)


def _dequeue(state: Overlay, event: ev.Event, name: str, job: Job) -> tuple[Account, LaneUse, int]:
    """Take a waiting job out of its account's queue: the lane before, and the queue's head after it.

    The caller counts one job less and places the account in the round anew.
    """
    assert isinstance(job.phase, Waiting), f"{name} does not wait"
    account, lane, number = event.account, job.lane, job.phase.number
    header = state.header(account)
    use = header.lane(lane)
    assert use is not None
    state.changes[queued_key(account, lane, number)] = None
    head = use.head
    if number == head:
        head += 1
        while head < use.tail and state.get(queued_key(account, lane, head)) is None:
            head += 1
    return header, use, head


def _free_slot(state: Overlay, event: ev.Event, lane: str) -> None:
    """Give a slot back to the account and to the partition."""
    header = state.header(event.account)
    use = header.lane(lane)
    assert use is not None
    assert use.running > 0
    _place(state, event, header, replace(use, running=use.running - 1), released=-1)


def _place(
    state: Overlay, event: ev.Event, header: Account, use: LaneUse, *, released: int = 0, turn_over: bool = False
) -> None:
    """Store the account's lane, in the round exactly when it has a waiting job and a free slot.

    `released` changes the partition's count of released attempts; whose turn is over goes to the end of the round.
    """
    qualifies = use.queued > 0 and use.running < use.limit
    leaves = use.ring >= 0 and (turn_over or not qualifies)
    joins = qualifies and (leaves or use.ring < 0)
    if leaves or joins or released:
        stream = PARTITION_STREAM_PREFIX + event.position.partition(".")[0]
        partition = state.partition(stream)
        share = partition.lane(use.lane)
        released, waiting, head, tail = share.released + released, share.waiting, share.head, share.tail
        assert released >= 0
        if leaves:
            waiting, head = waiting - 1, _left_round(state, stream, share, use)
        if joins:
            state.changes[ring_key(stream, use.lane, tail)] = RingEntry(event.account)
            waiting, tail = waiting + 1, tail + 1
        if leaves or joins:
            use = replace(use, ring=tail - 1 if joins else -1)
        share = LaneShare(use.lane, released, waiting, head, tail)
        state.put_partition(stream, replace(partition, lanes=_with_lane(partition.lanes, share)))
    header = replace(header, lanes=_with_lane(header.lanes, use), version=event.version)
    state.put_header(event.account, header)


def _left_round(state: Overlay, stream: str, share: LaneShare, use: LaneUse) -> int:
    """Take the account's place out of the round; the round's head after it."""
    state.changes[ring_key(stream, use.lane, use.ring)] = None
    head = share.head
    if use.ring == head:
        head += 1
        while head < share.tail and state.get(ring_key(stream, use.lane, head)) is None:
            head += 1
    return head


def _with_lane(lanes: tuple[Lane, ...], changed: Lane) -> tuple[Lane, ...]:
    if len(lanes) == 1 and lanes[0].lane == changed.lane:  # as good as always, and this runs at each event
        return (changed,)
    kept = [other for other in lanes if other.lane != changed.lane]
    kept.append(changed)
    return tuple(kept)
