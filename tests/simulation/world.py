"""Everything that a life has once: time, broker, groups, store, read models; and the product put upon them.

`World.installed` puts simulated servers in the place of connections, system clocks, random ids and threads, where the
product's own modules reach for them. What runs above is the product: its processor as composed in `processors.app`,
producers, appender, owners, fleet, lanes, slots, runner, source, intake and folds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import structlog

from infra.ids import SeededIds
from infra.settings import Settings
from processors import agents, supervision
from processors import app as processor_app
from processors import batch as batch_module
from processors import loop as loop_module
from processors.decide import decide
from processors.dispatch import lanes, metrics, production
from processors.dispatch import runner as attempt_runner
from processors.draft import Draft
from projections import runner as projection_runner
from projections import session as projection_session
from projections import source as projection_source
from projections.memory import MemoryReadModels
from schemas import commands as cmd
from schemas import topics
from tests.simulation.broker import Broker
from tests.simulation.group import App, Group
from tests.simulation.network import Network
from tests.simulation.outside import Connection, Engine, PlainMedia, Store
from tests.simulation.processes import LoopTime, current_clock
from tests.simulation.troubles import Troubles

PARTITIONS = 3
NAMES = (topics.COMMANDS, topics.EVENTS, topics.ACCOUNTS, topics.KEYS, topics.REPLIES, topics.DEAD_LETTERS)
SETTINGS = Settings(data_dir=Path("simulation"), deployment="simulation", partitions=PARTITIONS, metrics_port=None)
_TIMED = (
    loop_module, supervision, lanes, production, metrics, attempt_runner, projection_runner, projection_session
)  # fmt: skip


class World:
    """Make it inside a running loop."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.troubles = Troubles(self.random)
        counts = dict.fromkeys((*NAMES, *map(topics.dispatch_topic, topics.LANES)), PARTITIONS)
        self.broker = Broker(counts, [topics.COMMANDS], self.random, self.troubles)
        self.network = Network(self.broker, self.random, self.troubles)
        self.groups: dict[str, Group] = {}
        self.store = Store(self.broker.clock, self.random, self.troubles)
        self.engine = Engine(self.random, self.troubles)
        self.media = PlainMedia(self.troubles)
        self.models = MemoryReadModels()
        self.poison: dict[str, int] = {}
        self.complaints: list[str] = []
        self._minted = seed << 32

    def ids(self) -> SeededIds:
        """Ids that no other source of this life mints."""
        self._minted += 1
        return SeededIds(self._minted)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The product reaches this world and no other."""
        limit = self.random.choice((1, 2, 3, 20, 1_000))
        network = self.network
        with ExitStack() as stack:
            for module in _TIMED:
                stack.enter_context(patch.object(module, "time", LoopTime))
            replaced: tuple[tuple[Any, str, Any], ...] = (
                (processor_app, "start_client", network.start_client),
                (processor_app, "KafkaLogReader", network.reader),
                (processor_app, "SystemClock", current_clock),
                (processor_app, "SystemIds", self.ids),
                (agents, "make_app", self._make_app),
                (agents.TopicsMember, "_publish_member", lambda _: None),
                (projection_source, "AIOKafkaConsumer", network.consumer),
                (projection_runner, "ThreadPoolExecutor", lambda *_, **__: Connection(self.random, self.complaints)),
                (batch_module, "COMMANDS_A_TRANSACTION_MAX", limit),
                (batch_module, "decide", self._decide_or_raise),
            )
            for target, name, value in replaced:
                stack.enter_context(patch.object(target, name, value))
            stack.enter_context(_silence())
            yield

    def _make_app(self, member: Any, _: Any, group: str, data_dir: Path, session_ms: int, heartbeat_ms: int) -> App:
        if group not in self.groups:
            self.groups[group] = Group(self.network, session_ms / 1000)
        return App(self.network, self.groups[group], data_dir.name, member, heartbeat_ms / 1000)

    def _decide_or_raise(self, read: Any, envelope: cmd.Envelope, *rest: Any) -> Draft:
        job = getattr(envelope.command, "job", "")
        if isinstance(envelope.command, cmd.SubmitJob) and self.poison.get(job, 0) > 0:
            self.poison[job] -= 1
            self.troubles.saw("a decision raised")
            raise ZeroDivisionError("a bug")
        try:
            return decide(read, envelope, *rest)
        except Exception as error:
            self.complaints.append(f"deciding {envelope} raised {error!r}")
            raise


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing is logged, and what tasks of dead processes leave behind is not reported."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    try:
        yield
    finally:
        structlog.configure(**before)
