"""Read model `jobs`: how each job stands, its events in order, groups, what was refused, and counts for statistics.

Each event about a job sets some columns of its row; later ones win. Nothing is read back, so any split of the log
gives the same rows. How long a job waited and ran is known to its row alone, so a job that comes to its end leaves a
`JobCount`, which the store turns into a count of the durations that the row holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from projections.job_rows import rows_of_jobs
from projections.row_base import Logged, Rows, rows_of
from projections.rows import JobCount, JobEvents, NewGroup, NotMade, ResultGone, ResultsErased
from schemas import events as ev
from schemas.amounts import DAY_MS
from schemas.codec import encode_json

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
        "mask": data.mask,
        "sealed_at": data.sealed_at,
        "group_id": data.group,
    }


def _reused(event: ev.Event, data: ev.JobReused) -> Columns:
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
        "cost": 0,
        "plan": data.plan,
        "plan_version": data.plan_version,
        "accepted_ms": event.time_ms,
        "accepted_at": event.position,
        "balance": data.balance,
        "mask": data.mask,
        "sealed_at": data.sealed_at,
        "group_id": data.group,
        "reused_of": data.of,
        "asset": data.asset,
        "asset_number": data.number,
        "result": data.result,
        "thumbnail": data.thumbnail,
        **_ended("succeeded", event),
    }


def _reserved(_: ev.Event, data: ev.CreditsReserved) -> Columns:
    return {"balance": data.balance}


def _released(event: ev.Event, data: ev.AttemptReleased) -> Columns:
    return {"status": "queued", "attempts": data.attempt, "queued_ms": event.time_ms}


def _started(event: ev.Event, data: ev.JobStarted) -> Columns:
    return {"status": "running", "running_ms": event.time_ms - data.ran_ms}


def _renewed(_: ev.Event, __: ev.LeaseRenewed) -> Columns:
    return {}


def _attempt_ended(_: ev.Event, data: ev.AttemptEnded) -> Columns:
    changes: Columns = {} if data.retry_at_ms is None else {"status": "accepted"}
    if data.run is not None:
        changes["run"] = data.run
    return changes


def _requeued(_: ev.Event, __: ev.JobRequeued) -> Columns:
    return {"status": "accepted"}


def _ended(status: str, event: ev.Event) -> Columns:
    return {"status": status, "outcome": status, "ended_ms": event.time_ms}


def _succeeded(event: ev.Event, data: ev.JobSucceeded) -> Columns:
    changes = _ended("succeeded", event)
    changes["asset"], changes["asset_number"] = data.asset, data.number
    changes["result"], changes["model_ms"] = data.result, data.model_ms
    if data.thumbnail is not None:
        changes["thumbnail"] = data.thumbnail
    if data.run is not None:
        changes["run"] = data.run
    return changes


def _captured(_: ev.Event, data: ev.CreditsCaptured) -> Columns:
    return {"charged": data.units, "balance": data.balance}


def _failed(event: ev.Event, data: ev.JobFailed) -> Columns:
    changes = _ended("failed", event)
    changes["reason"], changes["detail"] = data.reason, data.detail
    if data.run is not None:
        changes["run"] = data.run
    return changes


def _canceled(event: ev.Event, _: ev.JobCanceled) -> Columns:
    return _ended("canceled", event)


def _expired(event: ev.Event, _: ev.JobExpired) -> Columns:
    return _ended("expired", event)


def _hidden(event: ev.Event, _: ev.JobHidden) -> Columns:
    return {"hidden_ms": event.time_ms}


def _given_back(_: ev.Event, data: ev.CreditsReleased) -> Columns:
    return {"balance": data.balance}


def _refunded(event: ev.Event, data: ev.CreditsRefunded) -> Columns:
    return {"refunded": data.units, "refunded_ms": event.time_ms, "balance": data.balance}


HANDLERS: Mapping[type[ev.EventData], Callable[[ev.Event, Any], Columns]] = {
    ev.JobAccepted: _accepted,
    ev.JobReused: _reused,
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
    ev.JobHidden: _hidden,
    ev.CreditsReleased: _given_back,
    ev.CreditsRefunded: _refunded,
}

COUNTED: Mapping[type[ev.EventData], str] = {
    ev.JobReused: "succeeded",
    ev.JobSucceeded: "succeeded",
    ev.JobFailed: "failed",
    ev.JobCanceled: "canceled",
    ev.JobExpired: "expired",
    ev.CreditsRefunded: "refunded",
}
"""The events that leave a count, each under the word it is counted by."""


def _group(event: ev.Event, data: ev.GroupAccepted) -> NewGroup:
    return NewGroup(
        account=event.account,
        group_id=data.group,
        version=event.version,
        jobs=len(data.jobs),
        cost=data.cost,
        balance=data.balance,
        plan_version=data.plan_version,
        accepted_ms=event.time_ms,
        position=event.position,
    )


def _not_made(event: ev.Event, data: ev.CommandRefused | ev.CommandDuplicate) -> NotMade | None:
    if data.subject is None:
        return None
    return NotMade(
        account=event.account,
        subject=data.subject,
        version=event.version,
        command=data.command,
        refusal=encode_json(data.refusal).decode() if isinstance(data, ev.CommandRefused) else None,
        made=data.made if isinstance(data, ev.CommandDuplicate) else None,
        time_ms=event.time_ms,
        position=event.position,
    )


def _asset_deleted(event: ev.Event, data: ev.AssetDeleted) -> ResultGone:
    return ResultGone(account=event.account, asset=data.asset, reason=data.reason)


def _account_erased(event: ev.Event, data: ev.AccountErased) -> ResultsErased:
    return ResultsErased(account=event.account, through=data.assets_through)


OTHERS: Mapping[type[ev.EventData], Callable[[ev.Event, Any], Any]] = {
    ev.GroupAccepted: _group,
    ev.CommandRefused: _not_made,
    ev.CommandDuplicate: _not_made,
    ev.AssetDeleted: _asset_deleted,
    ev.AccountErased: _account_erased,
}
"""Events that make rows of other tables than a job's own."""

IGNORED: frozenset[type[ev.EventData]] = frozenset(
    {
        ev.PlanPublished,
        ev.AccountOpened,
        ev.PlanChanged,
        ev.CreditsGranted,
        ev.CreditsRegenerated,
        ev.CreditsExpired,
        ev.ThresholdReached,
        ev.AssetRegistered,
        ev.VisibilityChanged,
        ev.AssetsViewed,
        ev.AlbumCreated,
        ev.AlbumDeleted,
        ev.AssetsMoved,
        ev.PurgeReleased,
        ev.BytesPurged,
        ev.IdempotencyForgotten,
        ev.CommandIgnored,
        ev.CommandUnreadable,
        ev.CommandQuarantined,
        ev.PartitionResumed,
    }
)


def fold_jobs(batch: Sequence[Logged]) -> Rows:
    """New jobs, changes of earlier ones, the jobs' events and counts, groups, and what was not made."""
    columns: dict[tuple[str, str], Columns] = {}
    history: dict[tuple[str, str], tuple[int, list[bytes]]] = {}
    counts: list[JobCount] = []
    others: dict[type[Any], list[Any]] = {}
    for logged in batch:
        event = logged.event
        data: Any = event.data
        kind = type(data)
        handler = HANDLERS.get(kind)
        if handler is None:
            other = OTHERS.get(kind)
            row = None if other is None else other(event, data)
            if row is not None:
                others.setdefault(type(row), []).append(row)
            continue
        place = (event.account, data.job)
        changes = columns.get(place)
        if changes is None:
            changes = columns[place] = {"account": event.account, "job": data.job}
            history[place] = (event.version, [])
        changes.update(handler(event, data))
        changes["position"] = event.position
        history[place][1].append(logged.value)
        status = COUNTED.get(kind)
        if status is not None:
            day_ms = event.time_ms - event.time_ms % DAY_MS
            counts.append(JobCount(account=event.account, job=data.job, day_ms=day_ms, status=status))
    events = [_events(*place, *history[place]) for place in columns]
    return rows_of(*rows_of_jobs(columns.values()), counts, events, *others.values())


def _events(account: str, job: str, version: int, values: Sequence[bytes]) -> JobEvents:
    return JobEvents(account=account, job=job, version=version, events=b"\n".join(values))
