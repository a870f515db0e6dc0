"""What a read may show, and how long it waits for what was just written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from infra.settings import Settings
from schemas.identifiers import partition_of
from schemas.positions import Position, parse_position
from tests.http.reading import PARTITIONS, Reading, accepted, document, open_reading, opening

DAY_MS = 86_400_000


@pytest.fixture
async def side(postgres: Settings, tmp_path: Path) -> AsyncIterator[Reading]:
    async with open_reading(postgres, tmp_path) as opened:
        yield opened


async def test_a_read_with_a_position_waits_until_it_is_there(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening())
    position = side.log.write(account, accepted("job_1"))
    reading = asyncio.create_task(side.get("/v1/jobs", Darkroom_Position=position))
    await asyncio.sleep(0.1)
    assert not reading.done()
    side.log.apply()
    assert [job["id"] for job in document(await reading)["data"]] == ["job_1"]


async def test_a_gateway_reads_its_own_writes_unasked(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening())
    side.log.say(side.account("bob"), *opening())
    position = parse_position(side.log.write(account, accepted("job_1")))
    assert position is not None
    side.positions.note(account, position)
    late = await side.get("/v1/account")
    assert (late.status_code, late.headers["retry-after"], document(late)["code"]) == (503, "1", "not-reached")
    assert (await side.get("/v1/account", "bob")).status_code == 200
    side.log.apply()
    assert document(await side.get("/v1/account"))["position"] == str(position)


@pytest.mark.parametrize("text", ["", "1.2.3", "a.b.c.d", "8.0.0.0", "0.0.0.0.0", "-1.0.0.0", "0.01.0.0", "0.0.0.0 "])
async def test_a_position_that_is_none_is_a_bad_request(side: Reading, text: str) -> None:
    answer = await side.get("/v1/account", Darkroom_Position=text)
    expected = 200 if text == "0.0.0.0 " else 400
    assert answer.status_code == expected
    if expected == 400:
        assert document(answer)["errors"][0]["field"] == "Darkroom-Position"


async def test_a_position_beyond_the_end_is_refused_at_once(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening())
    partition = partition_of(account, PARTITIONS)
    for position in (Position(partition, 99, 0), Position(partition, 1, 7)):
        async with asyncio.timeout(0.25):
            answer = await side.get("/v1/account", Darkroom_Position=str(position))
        assert (answer.status_code, document(answer)["code"]) == (400, "invalid-field")


async def test_a_missing_job_is_404_only_once_all_of_the_log_is_applied(side: Reading) -> None:
    account = side.account()
    side.log.say(account, *opening())
    side.log.write(account, accepted("job_1"))
    behind = await side.get("/v1/jobs/job_2")
    assert (behind.status_code, behind.headers["retry-after"]) == (503, "1")
    reading = asyncio.create_task(side.get("/v1/jobs/job_1"))
    await asyncio.sleep(0.05)
    side.log.apply()
    assert (await reading).status_code == 200
    assert (await side.get("/v1/jobs/job_2")).status_code == 404


async def test_a_job_that_is_there_asks_nobody_but_the_database(side: Reading) -> None:
    side.log.say(side.account(), *opening(), accepted("job_1"))
    before = side.log.asked
    assert (await side.get("/v1/jobs/job_1")).status_code == 200
    assert side.log.asked == before


async def test_reads_answer_503_while_the_database_is_away_and_go_on_after(side: Reading, postgres: Settings) -> None:
    side.log.say(side.account(), *opening(), accepted("job_1"))
    assert (await side.get("/v1/jobs/job_1")).status_code == 200
    with psycopg.connect(postgres.postgres_dsn, autocommit=True) as session:
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name='darkroom-api'")
    assert (await side.get("/v1/jobs/job_1")).status_code == 200, "a connection that died is replaced"
    await side.readers.close()
    await side.pool.close()
    away = await side.get("/v1/jobs/job_1")
    assert (away.status_code, away.headers["retry-after"], document(away)["code"]) == (503, "1", "unavailable")


async def test_every_read_needs_a_token(side: Reading) -> None:
    for path in (
        "/v1/jobs",
        "/v1/jobs/j",
        "/v1/jobs/j/events",
        "/v1/account",
        "/v1/ledger",
        "/v1/models",
        "/v1/assets",
        "/v1/albums",
        "/v1/statistics",
        "/v1/audit",
    ):
        assert (await side.http.get(path)).status_code == 401, path
    unheard_of = await side.http.get("/v1/media/a")
    assert unheard_of.status_code == 404, "it might be public, and a stranger is told no more"
