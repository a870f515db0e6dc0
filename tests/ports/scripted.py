"""Read models over what deciders have written of a long script."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from infra.postgres.pool import create_pool
from infra.postgres.readers import Readers
from infra.settings import Settings
from projections.intake import Intake
from projections.postgres import PostgresReadModels
from schemas import events as ev
from tests.databases import make_database
from tests.properties.scripts import KINDS, PAUSES, Player, Step
from tests.unit.projections.logs import records_of


def played(seed: int, steps: int, pauses: Sequence[int] = PAUSES) -> Player:
    """A player that has played a script of so many steps; the same for a seed."""
    player, chance = Player(), random.Random(seed)
    player.check_each = False
    return player.play(
        [
            Step(chance.choice(KINDS), chance.randrange(4), chance.randrange(12), chance.choice(pauses))
            for _ in range(steps)
        ]
    )


@asynccontextmanager
async def readers_over(postgres: Settings, events: Sequence[ev.Event]) -> AsyncIterator[Readers]:
    """Readers of the read models of partition 0's events."""
    dsn = make_database(postgres)
    store = PostgresReadModels(dsn)
    generations = store.generations()
    intake = Intake(generations, [0], store.positions(Intake.names(generations, [0])))
    work = intake.take_events({0: records_of(events)})
    assert work is not None
    store.apply(work.moves, work.rows)
    store.close()
    pool = await create_pool(dsn, connections_max=2)
    readers = Readers(pool, 2)
    try:
        yield readers
    finally:
        await readers.close()
        await pool.close()
