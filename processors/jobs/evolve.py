"""What events about jobs change: the job's record, its account's queue and slots, the round of waiting accounts.

The queue of an account holds its waiting jobs under growing numbers; the round (`ring`) of a partition holds each
account that has a waiting job and a free slot, exactly once. Drawing takes the account at the head and, where it still
qualifies, puts it at the tail: round robin, O(1) for each step (design section 2, point 17). Holes that cancels leave
are skipped once, because the head moves past them.
"""

from msgspec.structs import replace

from processors.accounts.evolve import add_asset, header_of, remember
from processors.accounts.state import (
    Account,
    Asset,
    LaneShare,
    LaneUse,
    Partition,
    Queued,
    RingEntry,
    account_key,
    partition_key,
    queued_key,
    ring_key,
)
from processors.draft import Changes, Read, overlay, typed
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
from schemas import events as ev
from schemas.commands import ReplyAddress
from schemas.identifiers import partition_stream
from schemas.replies import JobDecided


def job_of(read: Read, account: str, job: str) -> Job:
    """The record of a live job; events about one that has ended are a bug."""
    record = typed(read(job_key(account, job)), Job)
    assert record is not None, f"{job} has ended before"
    return record


def job_accepted(read: Read, event: ev.Event, data: ev.JobAccepted) -> Changes:
    changes: Changes = {}
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
    )
    answer = JobDecided(data.job, "accepted", data.cost, data.balance)
    remember(changes, event, data.idempotency, data.job, answer)
    _enqueue(changes, read, event, data.job, job, data.in_flight_jobs_max)
    return changes


def attempt_released(read: Read, event: ev.Event, data: ev.AttemptReleased) -> Changes:
    changes: Changes = {}
    job, header, use = _dequeue(changes, read, event, data.job)
    phase = Released(data.lease_until_ms, data.run_until_ms)
    changes[job_key(event.account, data.job)] = replace(job, phase=phase, attempt=data.attempt)
    use = replace(_leave_round(changes, read, event, use), running=use.running + 1)
    _count_released(changes, read, event, job.lane, +1)
    _place_in_round(changes, read, event, header, use)
    return changes


def job_started(read: Read, event: ev.Event, data: ev.JobStarted) -> Changes:
    job = job_of(read, event.account, data.job)
    assert isinstance(job.phase, Released)
    running = Running(data.lease_until_ms, job.phase.run_until_ms)
    return {job_key(event.account, data.job): replace(job, phase=running)}


def lease_renewed(read: Read, event: ev.Event, data: ev.LeaseRenewed) -> Changes:
    job = job_of(read, event.account, data.job)
    phase = job.phase
    assert isinstance(phase, Released | Running | Ending)
    renewed: Phase = replace(phase, lease_until_ms=data.lease_until_ms)
    return {job_key(event.account, data.job): replace(job, phase=renewed)}


def attempt_ended(read: Read, event: ev.Event, data: ev.AttemptEnded) -> Changes:
    job = job_of(read, event.account, data.job)
    changes: Changes = {job_key(event.account, data.job): None}
    if data.retry_at_ms is not None:
        away_since = job.unavailable_since_ms or event.time_ms if data.reason == "engine-unavailable" else None
        changes[job_key(event.account, data.job)] = replace(
            job,
            phase=Backoff(data.retry_at_ms),
            failures=job.failures + data.counted,
            unavailable_since_ms=away_since,
        )
    _free_slot(changes, read, event, job.lane)
    return changes


def job_requeued(read: Read, event: ev.Event, data: ev.JobRequeued) -> Changes:
    changes: Changes = {}
    job = replace(job_of(read, event.account, data.job), phase=Waiting(data.queue_number))
    _enqueue(changes, read, event, data.job, job, None)
    return changes


def job_succeeded(read: Read, event: ev.Event, data: ev.JobSucceeded) -> Changes:
    job = job_of(read, event.account, data.job)
    assert isinstance(job.phase, Attempted)
    changes = add_asset(read, event.account, data.asset, Asset(data.number, data.result))
    changes[job_key(event.account, data.job)] = None
    _free_slot(changes, read, event, job.lane)
    return changes


def job_failed(read: Read, event: ev.Event, data: ev.JobFailed) -> Changes:
    return _leave(read, event, data.job)


def job_expired(read: Read, event: ev.Event, data: ev.JobExpired) -> Changes:
    return _leave(read, event, data.job)


def job_canceled(read: Read, event: ev.Event, data: ev.JobCanceled) -> Changes:
    job = job_of(read, event.account, data.job)
    if isinstance(job.phase, Released | Running):
        ending = Ending(job.phase.lease_until_ms, job.phase.run_until_ms)
        return {job_key(event.account, data.job): replace(job, phase=ending, replies=())}
    return _leave(read, event, data.job)


def command_duplicate(read: Read, event: ev.Event, data: ev.CommandDuplicate) -> Changes:
    job = typed(read(job_key(event.account, data.made)), Job)
    if job is None or data.reply is None:
        return {}
    return {job_key(event.account, data.made): replace(job, replies=_with_address(job.replies, data.reply))}


def _with_address(held: tuple[ReplyAddress, ...], address: ReplyAddress | None) -> tuple[ReplyAddress, ...]:
    return held if address is None else (*held, address)[-REPLY_ADDRESSES_MAX:]


def _leave(read: Read, event: ev.Event, name: str) -> Changes:
    """The job's record ends, with its place in the queue or its slot."""
    changes: Changes = {}
    job = job_of(read, event.account, name)
    if isinstance(job.phase, Waiting):
        _, header, use = _dequeue(changes, read, event, name)
        _place_in_round(changes, read, event, header, use)
    elif isinstance(job.phase, Attempted):
        _free_slot(changes, read, event, job.lane)
    changes[job_key(event.account, name)] = None
    return changes


def _enqueue(changes: Changes, read: Read, event: ev.Event, name: str, job: Job, limit: int | None) -> None:
    assert isinstance(job.phase, Waiting)
    header = header_of(read, event.account)
    use = header.lane(job.lane) or LaneUse(job.lane, limit or 1)
    assert job.phase.number == use.tail, f"{name} takes place {job.phase.number}, the next is {use.tail}"
    use = replace(use, queued=use.queued + 1, tail=use.tail + 1, limit=limit or use.limit)
    changes[job_key(event.account, name)] = job
    changes[queued_key(event.account, job.lane, job.phase.number)] = Queued(name)
    _place_in_round(changes, read, event, header, use)


def _dequeue(changes: Changes, read: Read, event: ev.Event, name: str) -> tuple[Job, Account, LaneUse]:
    """Take a waiting job out of its account's queue; the caller places the account in the round anew."""
    job = job_of(read, event.account, name)
    assert isinstance(job.phase, Waiting), f"{name} does not wait"
    header = header_of(read, event.account)
    use = header.lane(job.lane)
    assert use is not None
    changes[queued_key(event.account, job.lane, job.phase.number)] = None
    head = use.head
    if job.phase.number == head:
        get = overlay(changes, read)
        while head < use.tail and get(queued_key(event.account, job.lane, head)) is None:
            head += 1
    return job, header, replace(use, queued=use.queued - 1, head=head)


def _free_slot(changes: Changes, read: Read, event: ev.Event, lane: str) -> None:
    """Give a slot back to the account and to the partition."""
    header = header_of(overlay(changes, read), event.account)
    use = header.lane(lane)
    assert use is not None
    assert use.running > 0
    _count_released(changes, read, event, lane, -1)
    _place_in_round(changes, read, event, header, replace(use, running=use.running - 1))


def _count_released(changes: Changes, read: Read, event: ev.Event, lane: str, by: int) -> None:
    get = overlay(changes, read)
    share = _share(get, event, lane)
    assert share.released + by >= 0
    _put_share(changes, get, event, replace(share, released=share.released + by))


def _place_in_round(changes: Changes, read: Read, event: ev.Event, header: Account, use: LaneUse) -> None:
    """Store the account's lane, in the round exactly when it has a waiting job and a free slot."""
    qualifies = use.queued > 0 and use.running < use.limit
    if qualifies and use.ring < 0:
        get = overlay(changes, read)
        share = _share(get, event, use.lane)
        changes[ring_key(_stream(event), use.lane, share.tail)] = RingEntry(event.account)
        use = replace(use, ring=share.tail)
        _put_share(changes, get, event, replace(share, tail=share.tail + 1, waiting=share.waiting + 1))
    elif not qualifies and use.ring >= 0:
        use = _leave_round(changes, read, event, use)
    lanes = (*(other for other in header.lanes if other.lane != use.lane), use)
    changes[account_key(event.account)] = replace(header, lanes=lanes)


def _leave_round(changes: Changes, read: Read, event: ev.Event, use: LaneUse) -> LaneUse:
    if use.ring < 0:
        return use
    stream = _stream(event)
    changes[ring_key(stream, use.lane, use.ring)] = None
    get = overlay(changes, read)
    share = _share(get, event, use.lane)
    head = share.head
    if use.ring == head:
        while head < share.tail and get(ring_key(stream, use.lane, head)) is None:
            head += 1
    _put_share(changes, get, event, replace(share, head=head, waiting=share.waiting - 1))
    return replace(use, ring=-1)


def _stream(event: ev.Event) -> str:
    return partition_stream(event.at.partition)


def _share(read: Read, event: ev.Event, lane: str) -> LaneShare:
    return (typed(read(partition_key(_stream(event))), Partition) or Partition()).lane(lane)


def _put_share(changes: Changes, read: Read, event: ev.Event, share: LaneShare) -> None:
    key = partition_key(_stream(event))
    partition = typed(read(key), Partition) or Partition()
    lanes = (*(other for other in partition.lanes if other.lane != share.lane), share)
    changes[key] = replace(partition, lanes=lanes)
