"""Given-when-then for decisions.

A `World` is one partition (number 0 of 1) with its state. `given` decides commands that came earlier, `when` decides
the one under test and returns exactly what it led to: events with their streams in order, answers, work items. The laws
of the core model are checked after every decision, so that each example also stands for them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from processors.accounts.state import Account, LaneUse, Partition
from processors.decide import decide
from processors.draft import Draft
from processors.effects import Addressing, draft_records
from processors.evolve import evolve
from processors.jobs.state import Job, job_key
from processors.jobs.timers import TICK_ITEMS_MAX
from processors.store import Store
from schemas import commands as cmd
from schemas import events as ev
from schemas.identifiers import partition_stream
from schemas.plans import AccountTerms, CostRule, LeaseTerms, ModelTerms, Plan
from schemas.replies import AnyAnswer
from schemas.topics import HOUSEKEEPING, dispatch_topic
from schemas.work import PurgeItem, WorkItem, decode_purge, decode_work
from tests.laws import check_state, state_of

T0 = 1_800_000_000_000  # 2027-01-15T08:00:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
PARTITION = 0
STREAM = partition_stream(PARTITION)
ANNA, BEN, CARA = "acct_anna", "acct_ben", "acct_cara"
PRODUCT = "darkroom"
PICTURE = cmd.StoredObject("acct_anna/asset_p", 1234, "ab" * 32, "jpeg", 64, 48)
RESULT = cmd.StoredObject("acct_anna/job_1/1", 4321, "cd" * 32, "png", 128, 96)
LEASES = LeaseTerms()
START_LEASE, RUNNING_LEASE, RUN = 60 * SECOND, 15 * SECOND, 120 * SECOND
STARTED = cmd.AttemptStarted("job_1", 1, "dispatcher-0")
RENEWED = cmd.RenewLease("job_1", 1)


def terms(**changes: Any) -> AccountTerms:
    """Terms that open with 10 credits, let two jobs run and have no thresholds."""
    return replace(AccountTerms(opening_credits=10, in_flight_jobs_max=2, thresholds=()), **changes)


def model(**changes: Any) -> ModelTerms:
    """A model that costs 1, takes no picture and has three attempts."""
    standard = ModelTerms(engine="echo", engine_version="1", lane="standard", cost=CostRule(1), takes_input=False)
    return replace(standard, **changes)


MODELS: Mapping[str, ModelTerms] = {
    "echo": model(),
    "upscale": model(engine="upscale", cost=CostRule(1, {"scale": {"4": 2}}), takes_input=True),
    "dear": model(cost=CostRule(7)),
    "once": model(attempts_max=1),
}


def plan(account_terms: AccountTerms | None = None, version: int = 1, **changes: Any) -> Plan:
    """A plan with one product under `account_terms`."""
    standard = Plan(version=version, products={PRODUCT: {"default": account_terms or terms()}}, models=MODELS)
    return replace(standard, **changes)


def submit(job: str, model_slug: str = "echo", **changes: Any) -> cmd.SubmitJob:
    """A submit of the cheapest kind."""
    return replace(cmd.SubmitJob(job, model_slug, {}), **changes)


def outcome(job: str, attempt: int = 1, how: cmd.Succeeded | cmd.Failed | None = None) -> cmd.RecordOutcome:
    """A success unless told otherwise."""
    return cmd.RecordOutcome(job, attempt, how or cmd.Succeeded(result_of(job, attempt), 25))


def result_of(job: str, attempt: int = 1) -> cmd.StoredObject:
    """The picture that the attempt makes."""
    return replace(RESULT, key=f"acct_anna/{job}/{attempt}")


def failed(cause: Any = "permanent", reason: str = "model-error", detail: str = "It broke.") -> cmd.Failed:
    """A failure of the given cause."""
    return cmd.Failed(cause, reason, detail)


def accepted(job: str, balance: int, **changes: Any) -> ev.JobAccepted:
    """What accepting `submit(job)` under `plan()` at T0 gives."""
    standard = ev.JobAccepted(
        job=job,
        model="echo",
        engine="echo",
        engine_version="1",
        lane="standard",
        params={},
        input=None,
        sealed=None,
        cost=1,
        plan="default",
        plan_version=1,
        attempts_max=3,
        run_deadline_ms=120_000,
        in_flight_jobs_max=2,
        queue_number=0,
        queue_until_ms=T0 + DAY,
        client_waits_until_ms=None,
        balance=balance,
        reply=None,
        idempotency=None,
    )
    return replace(standard, **changes)


def released(job: str, attempt: int = 1, at: int = 0) -> ev.AttemptReleased:
    """The release of an attempt `at` ms after T0."""
    lease_until_ms = T0 + at + LEASES.start_ms
    return ev.AttemptReleased(job, attempt, lease_until_ms, lease_until_ms + 120_000)


class Then(NamedTuple):
    """What a command led to. `events` are those of its account, `all_events` name their streams."""

    draft: Draft
    all_events: list[tuple[str, ev.AnyEvent]]
    events: list[ev.AnyEvent]
    answers: list[tuple[str, AnyAnswer]]
    work: list[WorkItem]
    purges: list[PurgeItem]

    @property
    def types(self) -> list[str]:
        """The types of all events, in order."""
        return [ev.event_type(data) for _, data in self.all_events]


class World:
    """One partition; times are ms after T0 and never run backwards unless a test says so."""

    def __init__(self, plan_in_force: Plan | None = None) -> None:
        self.store = Store(PARTITION)
        self.offset = -1
        self.now = 0
        self.log: list[ev.Event] = []
        self.checks_each = True
        if plan_in_force is not None:
            self.given(cmd.PublishPlan(plan_in_force), account=STREAM)

    def given(self, *commands: cmd.AnyCommand, account: str = ANNA, at: int | None = None, **frame: Any) -> "World":
        """Decide earlier commands."""
        for command in commands:
            self.when(command, account=account, at=at, **frame)
        return self

    def given_event(self, account: str, data: ev.AnyEvent, at: int = 0) -> "World":
        """Put a past event into the log without a command."""
        self.offset += 1
        streams = [event.version for event in self.log if event.account == account]
        version = 1 + (streams[-1] if streams else 0)
        event = ev.Event(
            f"0.{self.offset}.0.0", account, PRODUCT, version, T0 + at, "cmd_past", "user", data, None, True
        )
        self.store.change(evolve(self.store.read, event))
        self.store.take_writes()
        self.log.append(event)
        return self

    def when(self, command: cmd.AnyCommand, account: str = ANNA, at: int | None = None, **frame: Any) -> Then:
        """Decide `command`, `at` ms after T0 (the latest time so far unless given)."""
        self.offset += 1
        self.now = self.now if at is None else at
        time_ms = T0 + self.now
        due = self.store.due(time_ms, TICK_ITEMS_MAX) if isinstance(command, cmd.Tick) else ()
        envelope = _envelope(command, account, **frame)
        draft = decide(self.store.read, envelope, (PARTITION, self.offset, 0), time_ms, due)
        self.store.change(draft.changes)
        self.store.take_writes()
        self.log.extend(draft.events)
        if self.checks_each:
            check_state(state_of(self.store))
        records = draft_records(draft, Addressing("test", 1))
        purges = dispatch_topic(HOUSEKEEPING)
        return Then(
            draft,
            [(event.account, event.data) for event in draft.events],
            [event.data for event in draft.events if event.account == account],
            [(reply.correlation, reply.answer) for _, reply in draft.answers],
            [decode_work(r.value or b"") for r in records if r.topic.startswith("dispatch.") and r.topic != purges],
            [decode_purge(r.value or b"") for r in records if r.topic == purges],
        )

    def tick(self, at: int) -> Then:
        """What is due `at` ms after T0."""
        return self.when(cmd.Tick(), account=STREAM, at=at)

    def header(self, account: str = ANNA) -> Account:
        """The account's header."""
        header = self.store.read(account + "|account|")
        assert isinstance(header, Account)
        return header

    def lane(self, account: str = ANNA) -> LaneUse:
        """The account's share of the lane `standard`."""
        use = self.header(account).lane("standard")
        assert use is not None
        return use

    def partition(self) -> Partition:
        """The partition's header."""
        partition = self.store.read(STREAM + "|partition|")
        assert isinstance(partition, Partition)
        return partition

    def job(self, job: str, account: str = ANNA) -> Job | None:
        """The record of a live job."""
        record = self.store.read(job_key(account, job))
        assert record is None or isinstance(record, Job)
        return record


def submitted(model_slug: str = "echo", account_terms: Any = None, **changes: Any) -> World:
    """job_1 of ANNA is released as attempt 1 at T0."""
    world = World(plan(account_terms or terms())).given(cmd.OpenAccount())
    return world.given(submit("job_1", model_slug, **changes), reply="r")


def _envelope(
    command: cmd.AnyCommand,
    account: str,
    *,
    key: tuple[str, str] | None = None,
    reply: str | None = None,
    product: str = PRODUCT,
    plan_name: str = "default",
    subject: str | None = None,
    trace: str | None = None,
) -> cmd.Envelope:
    return cmd.Envelope(
        id="cmd_test",
        account=account,
        product="" if account == STREAM else product,
        command=command,
        sent_ms=1,
        plan=plan_name,
        subject=subject,
        reply=cmd.ReplyAddress("gw_1", reply) if reply else None,
        idempotency=cmd.IdempotencyKey(*key) if key else None,
        trace=trace,
    )
