"""`evolve`: what an event changes in the state. Pure and total: every event type has its row in the table below.

The state of a partition is the fold of its events by this function; nothing else may change it, except the reserved
records `position` and `suspect`. Nothing here asks the plan, the clock or a rule: an event carries what it needs.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from processors.accounts import evolve as accounts
from processors.assets import evolve as assets
from processors.jobs import evolve as jobs
from processors.overlay import Changes, Overlay, Read
from schemas import events as ev
from schemas.identifiers import PARTITION_STREAM_PREFIX

Handler = Callable[[Overlay, ev.Event, Any], None]


def _nothing(state: Overlay, event: ev.Event, data: ev.EventData) -> None:
    """The event changes no record but its stream's version."""


HANDLERS: dict[type[ev.EventData], Handler] = {
    ev.PlanPublished: accounts.plan_published,
    ev.AccountOpened: accounts.account_opened,
    ev.PlanChanged: accounts.plan_changed,
    ev.AccountErased: assets.account_erased,
    ev.CreditsGranted: accounts.credits_granted,
    ev.CreditsRegenerated: accounts.credits_regenerated,
    ev.CreditsExpired: accounts.credits_expired,
    ev.AssetRegistered: assets.asset_registered,
    ev.AssetDeleted: assets.asset_deleted,
    ev.VisibilityChanged: assets.visibility_changed,
    ev.AssetsViewed: _nothing,
    ev.AlbumCreated: assets.album_created,
    ev.AlbumDeleted: assets.album_deleted,
    ev.AssetsMoved: assets.assets_moved,
    ev.PurgeReleased: assets.purge_released,
    ev.BytesPurged: assets.bytes_purged,
    ev.GroupAccepted: jobs.group_accepted,
    ev.JobAccepted: jobs.job_accepted,
    ev.JobReused: jobs.job_reused,
    ev.CreditsReserved: accounts.credits_reserved,
    ev.ThresholdReached: _nothing,
    ev.AttemptReleased: jobs.attempt_released,
    ev.JobStarted: jobs.job_started,
    ev.LeaseRenewed: jobs.lease_renewed,
    ev.AttemptEnded: jobs.attempt_ended,
    ev.JobRequeued: jobs.job_requeued,
    ev.JobSucceeded: jobs.job_succeeded,
    ev.CreditsCaptured: accounts.credits_captured,
    ev.CreditsRefunded: accounts.credits_refunded,
    ev.JobFailed: jobs.job_failed,
    ev.JobCanceled: jobs.job_canceled,
    ev.JobExpired: jobs.job_expired,
    ev.JobHidden: jobs.job_hidden,
    ev.CreditsReleased: accounts.credits_released,
    ev.IdempotencyForgotten: accounts.idempotency_forgotten,
    ev.CommandRefused: _nothing,
    ev.CommandDuplicate: jobs.command_duplicate,
    ev.CommandIgnored: _nothing,
    ev.CommandUnreadable: _nothing,
    ev.CommandQuarantined: _nothing,
    ev.PartitionResumed: _nothing,
}


def evolve(read: Read, event: ev.Event) -> Changes:
    """The records that `event` changes (None: the record ends), given a reader of the state before it."""
    state = Overlay(read)
    apply(state, event)
    return state.changes


def apply(state: Overlay, event: ev.Event) -> None:
    """The same, into a state in the making. A handler that makes the header anew may number it in the same step."""
    stream, data = event.account, event.data
    if stream.startswith(PARTITION_STREAM_PREFIX):
        HANDLERS[type(data)](state, event, data)
        partition = state.partition(stream)
        assert event.version == partition.version + 1, f"version {event.version} after {partition.version} in {stream}"
        state.put_partition(stream, replace(partition, version=event.version))
        return
    before = state.account(stream)
    version = before.version if before is not None else 0
    assert event.version == version + 1, f"version {event.version} after {version} in {stream}"
    HANDLERS[type(data)](state, event, data)
    header = state.header(stream)
    if header.version != event.version:
        assert event.version == header.version + 1, f"version {event.version} after {header.version} in {stream}"
        state.put_header(stream, replace(header, version=event.version))
