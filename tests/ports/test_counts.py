"""The audit's own counting of the log comes to what stands in the tables, and finds a row that is not there."""

from __future__ import annotations

import random

import asyncpg
import pytest

from infra.cli.read_model_counts import BY_MODEL, SELECT, ArchiveCounts, AssetCounts, BalanceCounts, Counts, JobCounts
from infra.settings import Settings
from processors.audit_spill import InMemory
from projections.archive import PostgresArchive
from projections.intake import Intake
from projections.ports import Move, Tracked, tracking_name
from projections.postgres import PostgresReadModels
from tests.databases import make_database
from tests.properties.scripts import KINDS, PAUSES, Player, Step
from tests.unit.projections.logs import records_of


@pytest.fixture
def written(postgres: Settings) -> tuple[str, Player]:
    """A database with everything that deciders have written of a long script."""
    player, chance = Player(), random.Random(2)
    player.check_each = False
    player.play(
        [
            Step(chance.choice(KINDS), chance.randrange(4), chance.randrange(12), chance.choice(PAUSES[:-2]))
            for _ in range(700)
        ]
    )
    dsn, records = make_database(postgres), records_of(player.events)
    store, archive = PostgresReadModels(dsn), PostgresArchive(dsn)
    generations = store.generations()
    work = Intake(generations, [0], store.positions(Intake.names(generations, [0]))).take_events({0: records})
    assert work is not None
    store.apply(work.moves, work.rows)
    name = tracking_name("archive", archive.generation(), 0)
    archive.positions([name])
    archive.write([Move(name, -1, Tracked(len(records) - 1))], {0: records})
    store.close()
    archive.close()
    return dsn, player


async def test_every_table_comes_to_what_the_log_says(written: tuple[str, Player]) -> None:
    dsn, player = written
    counts: list[Counts] = [made(InMemory()) for made in (ArchiveCounts, JobCounts, BalanceCounts, AssetCounts)]
    for event in player.events:
        for of_model in counts if event.account.startswith("acct_") else ():
            of_model.add(event)
    said = {key: n for of_model in counts for key, n in of_model.found.sums.items()}
    connection = await asyncpg.connect(dsn)
    assert await _standing(connection) == said
    assert {key.partition(" ")[2] for key in said} == {what for kinds in BY_MODEL.values() for what in kinds}
    await connection.execute("DELETE FROM stored_events WHERE originator_id = 'acct_anna' AND originator_version = 3")
    assert "acct_anna archived" not in await _standing(connection)
    await connection.close()


async def _standing(connection: asyncpg.Connection) -> dict[str, int]:
    return {f"{row['account']} {row['what']}": int(row["n"]) for row in await connection.fetch(SELECT)}
