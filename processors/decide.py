"""`decide`: command and state in, events and answers out. Pure: no clock, ids, I/O or logging.

A refusal is an event and an answer; an exception is a bug and leads to quarantine (design section 2, point 10).
"""

from collections.abc import Callable
from typing import Any

from processors.accounts import decide as accounts
from processors.accounts.entry import name
from processors.assets import decide as assets
from processors.draft import Draft
from processors.evolve import apply
from processors.jobs import decide as jobs
from processors.jobs import submit, timers
from processors.overlay import Read
from schemas import commands as cmd
from schemas import events as ev
from schemas.replies import Broken, Done


def _resume_partition(draft: Draft, _command: cmd.ResumePartition) -> None:
    draft.emit(draft.stream, ev.PartitionResumed())
    draft.answer(draft.envelope.reply, draft.stream, Done())


DECIDERS: dict[type[cmd.Command], Callable[[Draft, Any], None]] = {
    cmd.SubmitJob: submit.submit_job,
    cmd.SubmitGroup: submit.submit_group,
    cmd.AttemptStarted: jobs.attempt_started,
    cmd.RenewLease: jobs.renew_lease,
    cmd.RecordOutcome: jobs.record_outcome,
    cmd.CancelJob: jobs.cancel_job,
    cmd.HideJob: jobs.hide_job,
    cmd.PublishPlan: accounts.publish_plan,
    cmd.OpenAccount: accounts.open_account,
    cmd.SetPlan: accounts.set_plan,
    cmd.GrantCredits: accounts.grant_credits,
    cmd.RefundJob: accounts.refund_job,
    cmd.RegisterAsset: assets.register_asset,
    cmd.DeleteAsset: assets.delete_asset,
    cmd.SetVisibility: assets.set_visibility,
    cmd.CreateAlbum: assets.create_album,
    cmd.DeleteAlbum: assets.delete_album,
    cmd.MoveAssets: assets.move_assets,
    cmd.RecordViews: assets.record_views,
    cmd.RecordPurge: assets.record_purge,
    cmd.EraseAccount: assets.erase_account,
    cmd.ResumePartition: _resume_partition,
}
"""Every command but the tick, which is told what is due."""


def decide(
    read: Read, envelope: cmd.Envelope, place: tuple[int, int, int], time_ms: int, due: tuple[str, ...] = ()
) -> Draft:
    """What the command leads to, given a reader of the state before it.

    `place` is (partition, offset, index), `time_ms` the partition's time; `due` names the state records that wait for
    a tick, in order. Deciding the same twice gives the same bytes.
    """
    draft = Draft(read, apply, envelope, place, time_ms)
    command = envelope.command
    if type(command) is cmd.Tick:
        timers.tick(draft, due)
    else:
        DECIDERS[type(command)](draft, command)
    draft.finish()
    return draft


def unreadable(read: Read, place: tuple[int, int, int], time_ms: int, reason: str, size: int) -> Draft:
    """The trace of an item that cannot be read."""
    draft = Draft(read, apply, _nobody(place), place, time_ms)
    draft.emit(draft.stream, ev.CommandUnreadable(reason, size))
    draft.finish()
    return draft


def quarantined(read: Read, envelope: cmd.Envelope, place: tuple[int, int, int], time_ms: int, takeovers: int) -> Draft:
    """The trace of a command whose decision failed in every takeover; its client is told, nothing is charged."""
    draft = Draft(read, apply, envelope, place, time_ms)
    command = name(envelope.command)
    draft.emit(draft.stream, ev.CommandQuarantined(command, envelope.account, takeovers))
    draft.answer(envelope.reply, envelope.account, Broken("command-quarantined"))
    draft.finish()
    return draft


def _nobody(place: tuple[int, int, int]) -> cmd.Envelope:
    return cmd.Envelope("", f"partition-{place[0]}", "", cmd.Tick(), 0, actor="system")
