"""Synthetic logs: what deciders would have written, without deciders. Deterministic for a seed; laws hold throughout.

Each partition is a generator of its own: a plan, then accounts that open, get credits, upload, and run jobs through
every way a job can go. Commands of different jobs interleave, so a batch cut anywhere splits many lives.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas import events as ev
from schemas.amounts import DAY_MS, window_start_ms
from schemas.commands import ReplyAddress, StoredObject
from schemas.identifiers import partition_of, partition_stream
from schemas.plans import AccountTerms, CostRule, ModelTerms, Plan, RegenerationTerms, WindowTerms

START_MS = 1_750_000_000_000
DATA_BYTES = 1_234
GRANT = 1_000

PLAN = Plan(
    version=1,
    products={
        "darkroom": {"default": AccountTerms()},
        "spike-land": {
            "default": AccountTerms(
                opening_credits=100, regeneration=RegenerationTerms(units=1, every_ms=900_000, cap=100)
            )
        },
        "studio": {"default": AccountTerms(windows=(WindowTerms("day", 50),))},
    },
    models={
        "classical/upscale": ModelTerms(
            engine="classical_upscale", engine_version="1", lane="standard", cost=CostRule(1), takes_input=True
        )
    },
)


@dataclass
class _Life:
    """A job between two of its commands."""

    account: str
    job: str
    way: str
    step: int = 0
    attempt: int = 0


@dataclass
class Partition:
    """The events of one partition, command by command. Of the `known` accounts it has those that belong to it."""

    number: int
    partitions: int = 8
    accounts: int = 20
    seed: int = 0
    products: tuple[str, ...] = ("darkroom",)
    known: Sequence[str] = ()
    offset: int = -1
    time_ms: int = START_MS
    versions: dict[str, int] = field(default_factory=dict)
    balances: dict[str, int] = field(default_factory=dict)
    assets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed * 1_000 + self.number)
        self._product: dict[str, str] = {}
        self._names = [name for name in self.known if partition_of(name, self.partitions) == self.number]
        self._product.update(dict.fromkeys(self._names, self.products[0]))
        candidate = 0
        while len(self._names) < self.accounts:
            name = f"acct_{self.seed:04d}{candidate:022d}"
            candidate += 1
            if partition_of(name, self.partitions) == self.number:
                self._product[name] = self.products[len(self._names) % len(self.products)]
                self._names.append(name)
        self._lives: list[_Life] = []
        self._minted = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The accounts, in the order in which they open."""
        return tuple(self._names)

    def commands(self) -> Iterator[list[ev.Event]]:
        """The events of one command after the other, for ever."""
        yield self._command(partition_stream(self.number), "", [ev.PlanPublished(PLAN)])
        for name in self._names:
            yield self._open(name)
        while True:
            if len(self._lives) < 2 * self.accounts and self._random.random() < 0.5:
                yield self._accept()
            elif self._lives:
                at = self._random.randrange(len(self._lives))
                life = self._lives[at]
                yield self._advance(life)
                if life.step < 0:
                    self._lives[at] = self._lives[-1]
                    self._lives.pop()

    def events(self, count: int) -> list[ev.Event]:
        """At least `count` events, in whole commands."""
        made: list[ev.Event] = []
        for command in self.commands():
            made.extend(command)
            if len(made) >= count:
                break
        return made

    def hide(self, account: str, job: str) -> list[ev.Event]:
        """The command that takes an ended job out of its account's histories."""
        return self._own(account, [ev.JobHidden(job, False, self.balances[account], None)])

    def settle(self) -> Iterator[list[ev.Event]]:
        """The commands that end every job that is under way."""
        for life in self._lives:
            while life.step >= 0:
                yield self._advance(life)
        self._lives.clear()

    def _command(self, stream: str, product: str, data: list[ev.AnyEvent]) -> list[ev.Event]:
        self.offset += 1
        self.time_ms += self._random.randrange(3)
        events = []
        for ordinal, item in enumerate(data):
            version = self.versions[stream] = self.versions.get(stream, 0) + 1
            position = f"{self.number}.{self.offset}.0.{ordinal}"
            last = ordinal == len(data) - 1
            command = f"cmd_{self.number}_{self.offset}"
            events.append(ev.Event(position, stream, product, version, self.time_ms, command, "user", item, None, last))
        return events

    def _own(self, account: str, data: list[ev.AnyEvent]) -> list[ev.Event]:
        return self._command(account, self._product[account], data)

    def _book(self, account: str, amount: int) -> int:
        balance = self.balances[account] = self.balances.get(account, 0) + amount
        return balance

    def _mint(self, prefix: str) -> str:
        self._minted += 1
        return f"{prefix}_{self.number:03d}{self._minted:023d}"

    def _stored(self, account: str, name: str) -> StoredObject:
        return StoredObject(f"{account}/{name}", DATA_BYTES, "0f" * 32, "png", 640, 480)

    def _open(self, account: str) -> list[ev.Event]:
        asset = self._mint("asset")
        self.assets[account] = 1
        granted = ev.CreditsGranted(GRANT, "test", self._book(account, GRANT), None)
        registered = ev.AssetRegistered(asset, 1, self._stored(account, asset), None, None)
        return self._own(account, [ev.AccountOpened("default", 1, None), granted, registered])

    def _accept(self) -> list[ev.Event]:
        account = self._random.choice(self._names)
        if self.balances[account] < 1:
            return self._own(account, [ev.CreditsGranted(GRANT, "test", self._book(account, GRANT), None)])
        way = self._random.choices(("succeeded", "failed", "canceled", "expired", "retried"), (80, 8, 4, 2, 6))[0]
        life = _Life(account, self._mint("job"), way)
        self._lives.append(life)
        balance = self._book(account, -1)
        day = window_start_ms("day", self.time_ms)
        accepted = ev.JobAccepted(
            life.job,
            "classical/upscale",
            "classical_upscale",
            "1",
            "standard",
            {"scale": 2},
            None,
            None,
            1,
            "default",
            1,
            3,
            120_000,
            8,
            self._minted,
            self.time_ms + DAY_MS,
            None,
            balance,
            ReplyAddress("gw_" + "a" * 26, "c1"),
            None,
        )
        reserved = ev.CreditsReserved(life.job, 1, (ev.WindowUse("day", day, 1),), 1, balance)
        return self._own(account, [accepted, reserved])

    def _advance(self, life: _Life) -> list[ev.Event]:
        account, job = life.account, life.job
        if life.step == 0 and life.way in ("canceled", "expired"):
            life.step = -1
            end: ev.AnyEvent = ev.JobCanceled(job, 0, None) if life.way == "canceled" else ev.JobExpired(job)
            return self._own(account, [end, self._release(life)])
        if life.step == 0:
            life.step, life.attempt = 1, life.attempt + 1
            lease_ms = self.time_ms + 60_000
            return self._own(account, [ev.AttemptReleased(job, life.attempt, lease_ms, lease_ms + 60_000)])
        if life.step == 1:
            life.step = 2
            started = ev.JobStarted(job, life.attempt, "dispatcher-0", self.time_ms + 15_000)
            return self._own(account, [started])
        if life.way == "retried" and life.attempt == 1:
            life.step = 0
            ended = ev.AttemptEnded(job, 1, "transient", True, self.time_ms + 1_000)
            return self._own(account, [ended, ev.JobRequeued(job, 1)])
        life.step = -1
        if life.way == "failed":
            failed = ev.JobFailed(job, life.attempt, "broken", "The engine said no.")
            return self._own(account, [failed, self._release(life)])
        asset = self._mint("asset")
        number = self.assets[account] = self.assets[account] + 1
        succeeded = ev.JobSucceeded(job, life.attempt, asset, number, self._stored(account, f"{job}/1"), 12)
        return self._own(account, [succeeded, ev.CreditsCaptured(job, 1, 1, self.balances[account])])

    def _release(self, life: _Life) -> ev.CreditsReleased:
        windows = (ev.WindowUse("day", window_start_ms("day", self.time_ms), 1),)
        balance = self._book(life.account, 1)
        return ev.CreditsReleased(life.job, 1, windows, life.way, balance)
