"""Random scripts of commands over several accounts of one partition, as Hypothesis makes and shrinks them.

A script is a list of steps; each names an account and small numbers that are resolved against what exists when the step
is played: so every script is playable, and what shrinks is the script.
"""

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from infra.kafka.ports import Outgoing, Record
from processors.batch import Batch
from processors.effects import Addressing
from processors.overlay import Record as StateRecord
from processors.store import Store
from schemas import commands as cmd
from schemas import events as ev
from schemas import topics
from schemas.codec import pack_items
from schemas.plans import AccountTerms, CostRule, ModelTerms, Plan, RegenerationTerms, WindowTerms
from schemas.replies import JobEndedAnswer, decode_replies
from schemas.work import PurgeItem, WorkItem, decode_purge, decode_work
from tests.laws import check_log, check_state, decoded

T0 = 1_800_000_000_000
STREAM = "partition-0"
ACCOUNTS = ("acct_anna", "acct_ben", "acct_cara", "acct_dan")
ADDRESSING = Addressing("test", 1)
PURGES = topics.dispatch_topic(topics.HOUSEKEEPING)
SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000


class Step(msgspec.Struct, frozen=True):
    """One command: its kind, whose it is, a number to choose by, and how many ms pass before it."""

    kind: str
    account: int
    number: int
    pause_ms: int


KINDS = (
    *("submit",) * 6,
    "resubmit",
    *("started",) * 3,
    "renew",
    *("succeed",) * 3,
    "fail",
    "stumble",
    "away",
    "cancel",
    "grant",
    "asset",
    "open",
    "plan",
    *("tick",) * 3,
    "garbage",
    *("group",) * 2,
    "identical",
    *("lot",) * 2,
    "refund",
    "set-plan",
    *("crash",) * 2,
    "delete",
    "publish",
    "views",
    "album",
    "drop-album",
    *("move",) * 2,
    *("purged",) * 2,
    "erase",
    "hide",
)
PAUSES = (0, 0, 0, 1, SECOND, 5 * SECOND, 20 * SECOND, 61 * SECOND, 200 * SECOND, HOUR, DAY)

steps = st.builds(
    Step, st.sampled_from(KINDS), st.integers(0, len(ACCOUNTS) - 1), st.integers(0, 11), st.sampled_from(PAUSES)
)
scripts = st.lists(steps, min_size=5, max_size=120)


def plan_of(version: int) -> Plan:
    """Tight terms, so that every limit is met; they change with the version."""
    metered = AccountTerms(
        opening_credits=6,
        windows=(WindowTerms("day", 9), WindowTerms("month", 40)),
        regeneration=RegenerationTerms(1, HOUR, 6),
        in_flight_jobs_max=1 + version % 3,
        queued_jobs_max=6,
        queue_ttl_ms=10 * 60 * SECOND,
    )
    gold = msgspec.structs.replace(
        metered,
        lane="priority",
        weight=2,
        originals="purge",
        uploads_ttl_ms=3 * DAY,
        results_ttl_ms=2 * DAY,
        reuse_ttl_ms=DAY,
        param_limits={"x": 2},
        albums_max=2,
    )
    models = {
        name: ModelTerms(engine=name, engine_version="1", lane=lane, cost=CostRule(cost), takes_input=False)
        for name, lane, cost in (("a", "standard", 1), ("b", "standard", 3), ("c", "video", 2))
    }
    lanes = {"standard": 2 + version % 2, "video": 1, "priority": 2, "batch": 1}
    products = {"p": {"default": metered, "gold": gold}}
    return Plan(version=version, products=products, models=models, lane_released_jobs_max=lanes)


class Player:
    """Plays a script through `Batch`, as an owner does, and keeps everything that came out."""

    def __init__(self) -> None:
        self.store = Store(0)
        self.progress = self.store.progress()
        self.now_ms = T0
        self.offset = 0
        self.outgoing: list[Outgoing] = []
        self.events: list[ev.Event] = []
        self.work: list[WorkItem] = []
        self.purges: list[PurgeItem] = []
        self.ended_answers: list[JobEndedAnswer] = []
        self.plan_version = 1
        self.jobs = 0
        self.assets: list[tuple[str, str]] = []
        self.albums: list[tuple[str, str]] = []
        self.check_each = True
        self.decide([self._envelope(cmd.PublishPlan(plan_of(1)), STREAM)])

    def decide(self, items: Sequence[cmd.Envelope | bytes]) -> list[ev.Event]:
        """One record of commands as one transaction; its events."""
        value = pack_items([item if isinstance(item, bytes) else cmd.encode_command(item) for item in items])
        batch = Batch(self.store, self.progress, 0, ADDRESSING)
        batch.add(Record(self.offset, self.now_ms, None, value))
        records = batch.records()
        self.progress = msgspec.structs.replace(batch.progress, stopped=False, troubles=())
        self.offset += 1
        events = [ev.decode_event(r.value or b"") for r in records if r.topic == topics.EVENTS]
        self.events += events
        self.outgoing += records
        for record in records:
            if record.topic == PURGES:
                self.purges.append(decode_purge(record.value or b""))
            elif record.topic.startswith("dispatch."):
                self.work.append(decode_work(record.value or b""))
            elif record.topic == topics.REPLIES:
                answers = [reply.answer for reply in decode_replies(record.value or b"")]
                self.ended_answers += [answer for answer in answers if isinstance(answer, JobEndedAnswer)]
        if self.check_each:
            check_state(self.state())
        return events

    def play(self, script: Sequence[Step]) -> "Player":
        """Each step in a record of its own."""
        for step in script:
            self.now_ms += step.pause_ms
            self.decide([self.command(step)])
        check_log(self.events)
        return self

    def quiet(self) -> "Player":
        """Let time pass until nothing is due any more: no dispatcher ever answers again."""
        for _ in range(10_000):
            for item in self.purges:
                self.decide([self._envelope(cmd.RecordPurge(item.purge), item.account)])
            self.purges.clear()
            due_ms = self.store.next_due_ms()
            if due_ms is None:
                break
            self.now_ms = max(self.now_ms, due_ms)
            self.decide([self._envelope(cmd.Tick(), STREAM)])
        assert self.store.next_due_ms() is None, "the log never goes quiet"
        check_log(self.events, quiet=True)
        return self

    def state(self) -> dict[str, StateRecord]:
        """Every record but the reserved ones."""
        return decoded(self.store.values())

    def command(self, step: Step) -> cmd.Envelope | bytes:
        """The step as a command against what exists now."""
        account = ACCOUNTS[step.account]
        item = self.work[-1 - step.number % len(self.work)] if self.work else None
        job, attempt = (item.job, item.attempt) if item else ("job_none", 1)
        owner = item.account if item else account
        match step.kind:
            case "submit":
                self.jobs += 1
                submit = cmd.SubmitJob(f"job_{self.jobs}", "abc"[step.number % 3], {})
                return self._envelope(submit, account, key=str(step.number), reply=f"r{self.jobs}")
            case "resubmit":
                self.jobs += 1
                submit = cmd.SubmitJob(f"job_{self.jobs}", "a", {}, client_waits_until_ms=self.now_ms + 30 * SECOND)
                return self._envelope(submit, account)
            case "started":
                return self._envelope(cmd.AttemptStarted(job, attempt, "d"), owner)
            case "renew":
                return self._envelope(cmd.RenewLease(job, attempt), owner)
            case "succeed":
                result = _picture(f"{owner}/{job}/{attempt}-{step.number % 2}")
                return self._envelope(cmd.RecordOutcome(job, attempt, cmd.Succeeded(result, 5)), owner)
            case "fail" | "stumble" | "away" | "crash":
                causes = {"fail": "permanent", "stumble": "transient", "away": "engine-unavailable"}
                cause = causes.get(step.kind, "engine-crashed")
                return self._envelope(cmd.RecordOutcome(job, attempt, _failed(cause)), owner)
            case "cancel":
                return self._envelope(cmd.CancelJob(f"job_{1 + step.number % max(1, self.jobs)}"), account, reply="c")
            case "grant":
                return self._envelope(cmd.GrantCredits(step.number - 5, "gift"), account, key=f"g{step.number}")
            case "asset":
                name, picture = f"asset_u{self.offset}", _picture(f"{account}/asset_u{self.offset}")
                self.assets.append((account, name))
                return self._envelope(cmd.RegisterAsset(name, picture), account)
            case "open":
                return self._envelope(cmd.OpenAccount(), account)
            case "plan":
                self.plan_version += step.number % 2
                return self._envelope(cmd.PublishPlan(plan_of(self.plan_version)), STREAM)
            case "tick":
                return self._envelope(cmd.Tick(), STREAM)
            case "garbage":
                return b"?" * step.number
            case _:
                return self._rarer(step, account)

    def _rarer(self, step: Step, account: str) -> cmd.Envelope:
        """Groups, money and what is stored."""
        number, said = step.number, self._envelope
        made = f"asset_{1 + number % max(1, self.jobs)}"
        owner, asset = self.assets[-1 - number % len(self.assets)] if self.assets and number % 3 else (account, made)
        album = self.albums[-1 - number % len(self.albums)][1] if self.albums else "album_none"
        match step.kind:
            case "group":
                self.jobs += 3
                names = (f"job_{self.jobs - 2}", f"job_{self.jobs - 1}", f"job_{self.jobs}")
                jobs = tuple(cmd.GroupedJob(name, "abc"[number % 3], {"x": number % 4}) for name in names)
                group = cmd.SubmitGroup(f"group_{self.jobs}", jobs, bulk=number % 2 == 0)
                return said(group, account, key=f"group{number}", reply="g")
            case "identical":
                self.jobs += 1
                source = asset if number % 2 and owner == account else None
                same = cmd.SubmitJob(f"job_{self.jobs}", "a", {}, source, bulk=number % 5 == 0)
                return said(same, account, reply="i")
            case "lot":
                expires_ms = self.now_ms + (DAY if number % 2 else HOUR) if number % 3 else None
                return said(cmd.GrantCredits(number - 2, "lot", expires_ms, number % 5 - 2), account)
            case "refund":
                return said(cmd.RefundJob(f"job_{1 + number % max(1, self.jobs)}", "sorry"), account, key=f"r{number}")
            case "hide":
                known = self.work[-1 - number] if number % 3 and number < len(self.work) else None
                job = known.job if known else f"job_{1 + number % max(1, self.jobs)}"
                hider = known.account if known else account
                return said(cmd.HideJob(job), hider, key=f"h{number}" if number % 2 else None, reply="h")
            case "set-plan":
                return said(cmd.SetPlan(("default", "gold", "gold", "none")[number % 4]), account, key=f"p{number}")
            case "delete":
                return said(cmd.DeleteAsset(asset, (f"job_{self.jobs}",), number % 2 == 0), owner, key=f"d{number}")
            case "publish":
                return said(cmd.SetVisibility(asset, number % 4 > 0), owner)
            case "views":
                return said(cmd.RecordViews(((asset, number), ("asset_none", 1))), owner)
            case "album":
                self.albums.append((account, f"album_{self.offset}"))
                return said(cmd.CreateAlbum(f"album_{self.offset}"), account, key=f"a{number}")
            case "drop-album":
                return said(cmd.DeleteAlbum(album), owner)
            case "move":
                source = self.albums[0][1] if number % 2 and self.albums else None
                return said(cmd.MoveAssets(album, (asset, made, "asset_none"), source), owner)
            case "purged":
                item = self.purges[number % len(self.purges)] if self.purges else None
                return said(cmd.RecordPurge(item.purge if item else "0.0.0.0"), item.account if item else account)
            case _:
                return said(cmd.EraseAccount(), account)

    def _envelope(
        self, command: cmd.AnyCommand, account: str, key: str | None = None, reply: str | None = None
    ) -> cmd.Envelope:
        return cmd.Envelope(
            id=f"cmd_{self.offset}",
            account=account,
            product="p",
            command=command,
            sent_ms=self.now_ms,
            reply=cmd.ReplyAddress("gw_1", reply) if reply else None,
            idempotency=cmd.IdempotencyKey(key, key) if key else None,
        )


def _picture(key: str) -> cmd.StoredObject:
    return cmd.StoredObject(key, 10, "ab" * 32, "png", 4, 4)


def _failed(cause: str) -> cmd.Failed:
    return msgspec.convert({"kind": "failed", "cause": cause, "reason": cause, "detail": "It broke."}, cmd.Failed)
