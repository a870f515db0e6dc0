"""The four servers of the session answer and keep what they are given."""

from __future__ import annotations

import asyncpg

from infra.local.component import kafka_answers
from infra.settings import Settings


async def test_kafka_answers_at_the_address_of_the_settings(kafka: Settings) -> None:
    host, port = kafka.kafka.bootstrap_servers.split(":")
    assert await kafka_answers(host, int(port))


async def test_postgres_has_a_database_in_utf8(postgres: Settings) -> None:
    connection = await asyncpg.connect(postgres.postgres_dsn)
    try:
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SHOW synchronous_commit") == "off"
    finally:
        await connection.close()
