"""`decide`: command and state in, events and answers out. Pure: no clock, ids, I/O or logging.

A refusal is an event and an answer; an exception is a bug and leads to quarantine (design section 2, point 10).
"""

from processors.accounts import decide as accounts
from processors.draft import Draft
from processors.evolve import apply
from processors.jobs import decide as jobs
from processors.jobs import timers
from processors.overlay import Read
from schemas import commands as cmd
from schemas import events as ev
from schemas.replies import Broken, Done


def decide(
    read: Read, envelope: cmd.Envelope, place: tuple[int, int, int], time_ms: int, due: tuple[str, ...] = ()
) -> Draft:
    """What the command leads to, given a reader of the state before it.

    `place` is (partition, offset, index), `time_ms` the partition's time; `due` names the state records that wait for
    a tick, in order. Deciding the same twice gives the same bytes.
    """
    draft = Draft(read, apply, envelope, place, time_ms)
    match envelope.command:
        case cmd.SubmitJob() as command:
            jobs.submit_job(draft, command)
        case cmd.RecordOutcome() as command:
            jobs.record_outcome(draft, command)
        case cmd.AttemptStarted() as command:
            jobs.attempt_started(draft, command)
        case cmd.RenewLease() as command:
            jobs.renew_lease(draft, command)
        case cmd.RegisterAsset() as command:
            accounts.register_asset(draft, command)
        case cmd.GrantCredits() as command:
            accounts.grant_credits(draft, command)
        case cmd.CancelJob() as command:
            jobs.cancel_job(draft, command)
        case cmd.OpenAccount() as command:
            accounts.open_account(draft, command)
        case cmd.PublishPlan() as command:
            accounts.publish_plan(draft, command)
        case cmd.Tick():
            timers.tick(draft, due)
        case cmd.ResumePartition():
            draft.emit(draft.stream, ev.PartitionResumed())
            draft.answer(envelope.reply, draft.stream, Done())
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
    command = accounts.name(envelope.command)
    draft.emit(draft.stream, ev.CommandQuarantined(command, envelope.account, takeovers))
    draft.answer(envelope.reply, envelope.account, Broken("command-quarantined"))
    draft.finish()
    return draft


def _nobody(place: tuple[int, int, int]) -> cmd.Envelope:
    return cmd.Envelope("", f"partition-{place[0]}", "", cmd.Tick(), 0, actor="system")
