"""Whose turn it is: released work is limited, what waits is drawn round robin (design section 2, point 17)."""

from processors.accounts.state import Queued, RingEntry, queued_key, ring_key
from processors.draft import Draft
from processors.jobs.state import Job, job_key
from processors.overlay import typed
from schemas import events as ev

LANE_RELEASED_JOBS_MAX = 64


def live_job(draft: Draft, account: str, job: str) -> Job | None:
    """The record of a live job, None where it has ended or never was."""
    return typed(draft.get(job_key(account, job)), Job)


def draw(draft: Draft, lane: str) -> None:
    """Release waiting jobs while the partition has slots: each account of the round in turn, as its weight says."""
    plan = draft.plan()
    assert plan is not None
    released_max = plan.lane_released_jobs_max.get(lane, LANE_RELEASED_JOBS_MAX)
    while (share := draft.share(lane)).waiting and share.released < released_max:
        entry = typed(draft.get(ring_key(draft.stream, lane, share.head)), RingEntry)
        assert entry is not None, "the head of the round is always taken"
        use = draft.header(entry.account).lane(lane)
        assert use is not None
        queued = typed(draft.get(queued_key(entry.account, lane, use.head)), Queued)
        assert queued is not None, "the head of a queue is always taken"
        job = live_job(draft, entry.account, queued.job)
        assert job is not None
        lease_until_ms = draft.time_ms + plan.leases.start_ms
        run_until_ms = lease_until_ms + job.run_deadline_ms
        released = ev.AttemptReleased(queued.job, job.attempt + 1, lease_until_ms, run_until_ms, job.is_suspect)
        draft.emit(entry.account, released)
