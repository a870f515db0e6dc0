"""What a tick finds due: leases and pauses that are over, jobs that waited too long, keys to forget, lots, assets and
purges whose time has come."""

from processors.accounts.entry import ignore
from processors.accounts.money import expire_lots, settle_time
from processors.accounts.state import Account, Idempotency
from processors.assets.purges import end_asset, release_purge_again
from processors.assets.state import Asset, Purge
from processors.draft import Draft
from processors.jobs.endings import expire, retry
from processors.jobs.round import draw
from processors.jobs.state import Backoff, Ending, Job, Released, Running, Waiting
from processors.overlay import Record
from schemas import events as ev

TICK_ITEMS_MAX = 500


def tick(draft: Draft, due: tuple[str, ...]) -> None:
    """Handle what is due: `due` names state records in the order of their due times, at most TICK_ITEMS_MAX."""
    forgotten: dict[str, list[str]] = {}
    lanes: list[str] = []
    for key in due:
        stream, _kind, name = key.split("|", 2)
        record = draft.get(key)
        if isinstance(record, Idempotency) and record.expires_ms <= draft.time_ms:
            forgotten.setdefault(stream, []).append(name)
        elif isinstance(record, Job) and record.due_ms <= draft.time_ms:
            _job_due(draft, stream, name, record)
            if record.lane not in lanes:
                lanes.append(record.lane)
        else:
            _money_or_bytes_due(draft, stream, name, record)
    for account, keys in forgotten.items():
        draft.emit(account, ev.IdempotencyForgotten(tuple(keys)))
    for lane in lanes:
        draw(draft, lane)
    if not draft.events:
        ignore(draft, draft.stream, "nothing-due")


def _money_or_bytes_due(draft: Draft, account: str, name: str, record: Record | None) -> None:
    now = draft.time_ms
    match record:
        case Account() if 0 < record.due_ms <= now:
            plan = draft.plan()
            terms = plan.terms(record.product, record.plan) if plan else None
            if terms is None:
                expire_lots(draft, account)
            else:
                settle_time(draft, account, record, terms)
        case Asset() if record.expires_ms is not None and record.expires_ms <= now:
            end_asset(draft, account, name, record, "expired")
        case Purge() if record.retry_at_ms <= now:
            release_purge_again(draft, account, name, record)
        case _:
            pass


def _job_due(draft: Draft, account: str, name: str, job: Job) -> None:
    now = draft.time_ms
    match job.phase:
        case Waiting():
            expire(draft, account, name, job)
        case Backoff(retry_at_ms):
            if job.queue_until_ms <= now:
                expire(draft, account, name, job)
            elif retry_at_ms <= now:
                use = draft.header(account).lane(job.lane)
                assert use is not None
                draft.emit(account, ev.JobRequeued(name, use.tail))
        case Released(_, run_until_ms):
            # Nobody has begun: no failure of the job, unless its run time is over as well.
            retry(draft, account, name, job, "lease-lost", "no dispatcher took it up", counted=run_until_ms <= now)
        case Running(_, run_until_ms):
            reason = "run-deadline" if run_until_ms <= now else "lease-lost"
            retry(draft, account, name, job, reason, "the attempt fell silent or ran too long", counted=True)
        case Ending():
            draft.emit(account, ev.AttemptEnded(name, job.attempt, "lease-lost-after-cancel", False, None))
