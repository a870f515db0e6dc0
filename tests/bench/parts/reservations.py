"""From an HTTP submit to a durable reservation, beside Starlette and a PostgreSQL transaction with an outbox.

Ours answers (`Prefer: respond-async`) once the decision is committed. Both sides answer 64 connections with the same
requests; each load is a number of reservations, and its CPU is counted until nothing of it is left to do: gateway and
processor here, handler and relay there, the servers by themselves. What makes jobs readable is in neither figure, with
one difference: a row of the conventional stack can be read at once, ours after a projector, which does not run here.
How durable each answer is stands in `tests.bench.bare_reservation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from statistics import median
from typing import NamedTuple

from infra.kafka.client import start_client
from infra.kafka.reader import KafkaLogReader
from infra.settings import Settings
from tests.bench import bare_reservation
from tests.bench.children import BenchChild, answers, free_port
from tests.bench.clients import all_decided, shapes, tokens, turned_away
from tests.bench.load import Shape, run_load
from tests.bench.measure import Figure, check, cpu_seconds, pair
from tests.bench.station import ACCOUNTS, Bench, Station
from tests.bench.topics import make_topics

RESERVATIONS_A_LOAD = 1_500
WARM_MANY, WARM_HOT = 2_500, 500
CONNECTIONS = 64
CREDITS = 1_000_000_000
CPU_GOAL, HOT_GOAL = 2.5, 6.0
BODY = {"model": "sandbox/echo", "params": {"seed": 7}, "metadata": {"note": "x" * 250}}
_AGAINST = "Starlette, PostgreSQL transaction, outbox, relay"


class Side(NamedTuple):
    """A stack that reserves: where it listens, its own processes, and its relay, where it has one."""

    name: str
    port: int
    pids: tuple[int, ...]
    relay: BenchChild | None = None


class Taken(NamedTuple):
    """One load: reservations a second, requests turned away, and CPU in microseconds a reservation by whose it was."""

    rate: float
    turned_away: int
    cpu_us: Mapping[str, float]

    @property
    def figure(self) -> Figure:
        """Reservations a second."""
        return Figure(self.rate, self.cpu_us["own"])

    @property
    def cpu_figure(self) -> Figure:
        """Reservations a second of CPU of the stack's own processes."""
        return Figure(1e6 / self.cpu_us["own"], self.cpu_us["own"])


class Reservations:
    """Loads on both sides; `reserved` counts what the conventional one has answered with 202."""

    def __init__(self, at: Station) -> None:
        self._at = at
        self._servers = {name: at.servers.pid(name) for name in ("kafka", "postgres")}
        self._loads = 0
        self.reserved = 0

    def take(self, side: Side, what: Sequence[Shape], count: int = RESERVATIONS_A_LOAD) -> Taken:
        """One load, until everything that it caused is done."""
        self._loads += 1
        of = {"own": side.pids, **{name: (pid,) for name, pid in self._servers.items()}}
        before = {name: cpu_seconds(pids) for name, pids in of.items()}
        load = self._at.load(f"reserve-{self._loads}", CONNECTIONS, what, count=count, port=side.port)
        result = run_load(load)
        if side.relay is not None:
            asyncio.run(bare_reservation.all_sent(self._at.settings.postgres_dsn))
        else:
            all_decided(result)
        used = {name: 1e6 * (cpu_seconds(pids) - before[name]) for name, pids in of.items()}
        away = turned_away(result, 202)
        done = result.requests - away
        if side.relay is not None:
            check(away == 0, f"{side.name} turned requests away: {result.first_other}")
            self.reserved += done
        return Taken(done / result.seconds, away, {name: us / done for name, us in used.items()})


def measure(bench: Bench, at: Station) -> None:
    """Needs a gateway and a processor."""
    processor, gateway = at.roles("processor-0", "gateway-0")
    dsn = at.settings.postgres_dsn
    users = tokens(at.settings, ACCOUNTS + 1)
    verifier = bare_reservation.verifier_of(at.settings.secrets_dir, at.settings.deployment)
    accounts = [verifier.verify(token).account for token in users]
    asyncio.run(make_topics(at.settings, {bare_reservation.TOPIC: at.settings.partitions}))
    asyncio.run(bare_reservation.make_tables(dsn, accounts, CREDITS))
    relay = at.children.bare("bare_reservation", "relay", dsn, at.settings.kafka.bootstrap_servers)
    handlers = {commit: _handler(at, commit) for commit in ("on", "off")}
    sides = {
        "Darkroom": Side("Darkroom", at.port, (gateway.pid, processor.pid)),
        **{
            commit: Side(f"synchronous_commit {commit}", port, (child.pid, relay.pid), relay)
            for commit, (child, port) in handlers.items()
        },
    }
    many, hot = shapes(users[:-1], BODY, "respond-async"), shapes(users[-1:], BODY, "respond-async")
    reservations = Reservations(at)
    for side in sides.values():
        reservations.take(side, many, WARM_MANY)
        reservations.take(side, hot, WARM_HOT)
    spread_out: dict[str, list[Taken]] = {name: [] for name in ("Darkroom", "on")}
    on_one: dict[str, list[Taken]] = {name: [] for name in sides}
    for _ in range(bench.rounds):
        for taken, what in ((spread_out, many), (on_one, hot)):
            for name in taken:
                with relay.paused() if name == "Darkroom" else nullcontext():
                    taken[name].append(reservations.take(sides[name], what))
    at.children.stop(relay, *(child for child, _ in handlers.values()))
    asyncio.run(_check_all_is_there(at.settings, reservations.reserved))
    _report(bench, spread_out, on_one)


def _handler(at: Station, commit: str) -> tuple[BenchChild, int]:
    port, settings = free_port(), at.settings
    where = (settings.postgres_dsn, str(port), str(settings.secrets_dir), settings.deployment)
    child = at.children.bare("bare_reservation", "serve", *where, commit)
    child.wait_for(lambda: answers(port))
    return child, port


def _report(bench: Bench, many: Mapping[str, Sequence[Taken]], hot: Mapping[str, Sequence[Taken]]) -> None:
    name, hot_name = f"reservation, {ACCOUNTS} accounts", "reservation, one hot account"
    cpu = [[taken.cpu_figure for taken in many[side]] for side in ("Darkroom", "on")]
    rates = [[taken.figure for taken in many[side]] for side in ("Darkroom", "on")]
    one = {side: [taken.figure for taken in of] for side, of in hot.items()}
    bench.pairs += [
        pair(name, "a second of CPU", _AGAINST, CPU_GOAL, *cpu),
        pair(name, "a second", _AGAINST, 0.0, *rates),
        pair(hot_name, "a second", _AGAINST, HOT_GOAL, one["Darkroom"], one["on"]),
        pair(hot_name, "a second", "the same, `synchronous_commit` off", 0.0, one["Darkroom"], one["off"]),
    ]
    bench.notes += [
        f"A reservation of {ACCOUNTS} accounts in us of CPU: Darkroom {_costs(many['Darkroom'])}; conventional "
        f"{_costs(many['on'])}.",
        "The conventional stack commits with `synchronous_commit` on, which outlives a power cut; Darkroom's answers "
        "(acks=all, brokers do not flush) outlive the death of any process, a power cut only with replicas elsewhere.",
    ]
    away = sum(taken.turned_away for taken in (*many["Darkroom"], *hot["Darkroom"]))
    if away:
        bench.notes.append(f"Darkroom turned {away} of the requests for reservations away (503).")


def _costs(taken: Sequence[Taken]) -> str:
    """Such as ``900 of its own, 300 of Kafka, 0 of PostgreSQL, 1,200 in all``."""
    own, kafka, postgres = (median(one.cpu_us[whose] for one in taken) for whose in ("own", "kafka", "postgres"))
    total = own + kafka + postgres
    return f"{own:,.0f} of its own, {kafka:,.0f} of Kafka, {postgres:,.0f} of PostgreSQL, {total:,.0f} in all"


async def _check_all_is_there(settings: Settings, reserved: int) -> None:
    """The conventional stack has done what it has said: otherwise its figures would say nothing."""
    found = await bare_reservation.counts(settings.postgres_dsn)
    cost = bare_reservation.COST * reserved
    wanted = {"jobs": reserved, "reserved": cost, "answers": reserved, "unsent": 0}
    check(found == wanted, f"the conventional stack holds {found}, not {wanted}")
    client = await start_client(settings.kafka, client_id="darkroom-bench")
    try:
        reader = KafkaLogReader(client)
        sent = [await reader.end_offset(bare_reservation.TOPIC, number) for number in range(settings.partitions)]
    finally:
        await client.close()
    check(sum(sent) >= reserved, f"{sum(sent)} of {reserved} rows of the outbox have come to Kafka")
