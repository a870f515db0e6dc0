"""Read model `jobs`: how each job stands, and its events in order.

Each event about a job sets some columns of its row; later ones win. Nothing is read back, so any split of the log
gives the same rows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from projections.rows import JobChange, JobEvents, Logged, NewJob, Rows, rows_of
from schemas import events as ev

NAME = "jobs"
Columns = dict[str, Any]


def _accepted(event: ev.Event, data: ev.JobAccepted) -> Columns:
    return {
        "version": event.version,
        "product": event.product,
        "model": data.model,
        "engine": data.engine,
        "engine_version": data.engine_version,
        "lane": data.lane,
        "params": data.params,
        "input": data.input,
        "sealed": data.sealed,
        "cost": data.cost,
        "plan": data.plan,
        "plan_version": data.plan_version,
        "accepted_ms": event.time_ms,
        "accepted_at": event.position,
        "status": "accepted",
        "balance": data.balance,
    }


def _reserved(_: ev.Event, data: ev.CreditsReserved) -> Columns:
    return {"balance": data.balance}


def _released(event: ev.Event, data: ev.AttemptReleased) -> Columns:
    return {"status": "queued", "attempts": data.attempt, "queued_ms": event.time_ms}


def _started(event: ev.Event, _: ev.JobStarted) -> Columns:
    return {"status": "running", "running_ms": event.time_ms}


def _renewed(_: ev.Event, __: ev.LeaseRenewed) -> Columns:
    return {}


def _attempt_ended(_: ev.Event, data: ev.AttemptEnded) -> Columns:
    return {} if data.retry_at_ms is None else {"status": "accepted"}


def _requeued(_: ev.Event, __: ev.JobRequeued) -> Columns:
    return {"status": "accepted"}


def _succeeded(event: ev.Event, data: ev.JobSucceeded) -> Columns:
    return {"status": "succeeded", "ended_ms": event.time_ms, "asset": data.asset, "result": data.result}


def _captured(_: ev.Event, data: ev.CreditsCaptured) -> Columns:
    return {"charged": data.units, "balance": data.balance}


def _failed(event: ev.Event, data: ev.JobFailed) -> Columns:
    return {"status": "failed", "ended_ms": event.time_ms, "reason": data.reason, "detail": data.detail}


def _canceled(event: ev.Event, _: ev.JobCanceled) -> Columns:
    return {"status": "canceled", "ended_ms": event.time_ms}


def _expired(event: ev.Event, _: ev.JobExpired) -> Columns:
    return {"status": "expired", "ended_ms": event.time_ms}


def _given_back(_: ev.Event, data: ev.CreditsReleased) -> Columns:
    return {"balance": data.balance}


HANDLERS: Mapping[type[ev.EventData], Callable[[ev.Event, Any], Columns]] = {
    ev.JobAccepted: _accepted,
    ev.CreditsReserved: _reserved,
    ev.AttemptReleased: _released,
    ev.JobStarted: _started,
    ev.LeaseRenewed: _renewed,
    ev.AttemptEnded: _attempt_ended,
    ev.JobRequeued: _requeued,
    ev.JobSucceeded: _succeeded,
    ev.CreditsCaptured: _captured,
    ev.JobFailed: _failed,
    ev.JobCanceled: _canceled,
    ev.JobExpired: _expired,
    ev.CreditsReleased: _given_back,
}

IGNORED: frozenset[type[ev.EventData]] = frozenset(
    {
        ev.PlanPublished,
        ev.AccountOpened,
        ev.CreditsGranted,
        ev.CreditsRegenerated,
        ev.AssetRegistered,
        ev.IdempotencyForgotten,
        ev.CommandRefused,
        ev.CommandDuplicate,
        ev.CommandIgnored,
        ev.CommandUnreadable,
        ev.CommandQuarantined,
        ev.PartitionResumed,
    }
)


def fold_jobs(batch: Sequence[Logged]) -> Rows:
    """New jobs, changes of earlier ones, and the jobs' events."""
    columns: dict[tuple[str, str], Columns] = {}
    history: dict[tuple[str, str], tuple[int, list[bytes]]] = {}
    for logged in batch:
        event = logged.event
        data: Any = event.data
        handler = HANDLERS.get(type(data))
        if handler is None:
            continue
        place = (event.account, data.job)
        row = columns.get(place)
        if row is None:
            row = columns[place] = {"account": event.account, "job": data.job}
            history[place] = (event.version, [])
        row.update(handler(event, data))
        row["position"] = event.position
        history[place][1].append(logged.value)
    new = [NewJob(**row) for row in columns.values() if "accepted_ms" in row]
    changed = [JobChange(**row) for row in columns.values() if "accepted_ms" not in row]
    return rows_of(new, changed, [_events(*place, *history[place]) for place in columns])


def _events(account: str, job: str, version: int, values: Sequence[bytes]) -> JobEvents:
    return JobEvents(account=account, job=job, version=version, events=b"\n".join(values))
