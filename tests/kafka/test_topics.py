"""Topics, groups and the first connection: what a start must notice, in one sentence."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from infra.kafka import topics as module
from infra.kafka.client import BrokersUnreachable, connection_arguments, start_client
from infra.kafka.cluster import abilities_of
from infra.kafka.groups import leave_group
from infra.kafka.protocol import BrokerAbilities
from infra.kafka.topics import ClusterFacts, TopicsUnfit, ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.topics import TopicSpec
from tests.kafka.topic import fresh

servers = pytest.mark.servers


@servers
async def test_topics_are_made_once_and_several_starts_at_once_agree(kafka: Settings) -> None:
    facts = await asyncio.gather(*(ensure_topics(kafka) for _ in range(3)))
    assert facts == [ClusterFacts(8, True)] * 3


@servers
async def test_another_number_of_partitions_refuses_to_start(kafka: Settings) -> None:
    other = kafka.model_copy(update={"partitions": 4})
    with pytest.raises(TopicsUnfit, match=r"made with 8 partitions and 4 are wanted: set DARKROOM_PARTITIONS"):
        await ensure_topics(other)


@servers
async def test_new_topics_get_their_partitions_and_configs(kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = TopicSpec(fresh("commands"), {"message.timestamp.type": "LogAppendTime"})
    single = TopicSpec(fresh("single"), {"cleanup.policy": "compact"}, partitions=1)
    monkeypatch.setattr(module, "TOPICS", (commands, single))
    monkeypatch.setattr(module, "COMMANDS", commands.name)
    assert await ensure_topics(kafka) == ClusterFacts(8, True)
    assert await ensure_topics(kafka) == ClusterFacts(8, True)


@servers
async def test_commands_that_carry_the_senders_time_refuse_to_start(
    kafka: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = TopicSpec(fresh("commands"), {"message.timestamp.type": "CreateTime"})
    monkeypatch.setattr(module, "TOPICS", (commands,))
    monkeypatch.setattr(module, "COMMANDS", commands.name)
    with pytest.raises(TopicsUnfit, match="must be the broker's"):
        await ensure_topics(kafka)


@servers
async def test_the_broker_says_what_it_speaks(kafka: Settings) -> None:
    client = await start_client(kafka.kafka)
    abilities = await abilities_of(client, client.get_random_node())
    await client.close()
    assert abilities.transactions_v2
    assert abilities.features["transaction.version"] == 2


@servers
async def test_leaving_for_an_unknown_member_is_no_error(kafka: Settings) -> None:
    assert await leave_group(kafka, fresh("group"), "nobody") is False


@pytest.mark.parametrize(
    ("versions", "features", "expected"),
    [
        ({0: 12, 26: 5}, {"transaction.version": 2}, True),
        ({0: 12, 26: 5}, {"transaction.version": 1}, False),
        ({0: 12, 26: 5}, {}, False),
        ({0: 11, 26: 5}, {"transaction.version": 2}, False),
        ({}, {}, False),
    ],
)
def test_transactions_v2_need_the_feature_and_both_requests(
    versions: dict[int, int], features: dict[str, int], expected: bool
) -> None:
    assert BrokerAbilities(versions, features).transactions_v2 is expected


async def test_a_broker_too_old_to_say_speaks_the_old_protocol() -> None:
    async def send(*_: object, **__: object) -> None:
        raise NotImplementedError

    assert not (await abilities_of(SimpleNamespace(send=send), 1)).transactions_v2


async def test_no_broker_is_one_sentence_with_the_cure_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(
        BrokersUnreachable, match=r"127\.0\.0\.1:1 within 0\.5 s: start Kafka or correct DARKROOM_KAFKA"
    ):
        await start_client(KafkaSettings(bootstrap_servers="127.0.0.1:1"), deadline_s=0.5)
    assert time.monotonic() - started < 2


def test_plain_text_needs_no_more_than_the_addresses() -> None:
    arguments = connection_arguments(KafkaSettings(bootstrap_servers="a:1,b:2"))
    assert arguments == {"bootstrap_servers": "a:1,b:2", "security_protocol": "PLAINTEXT"}


def test_sasl_and_tls_reach_the_connections() -> None:
    arguments = connection_arguments(
        KafkaSettings(
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="user",
            sasl_password=SecretStr("secret"),
        )
    )
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["sasl_plain_username"] == "user"
    assert arguments["sasl_plain_password"] == "secret"
    assert arguments["ssl_context"].check_hostname is True
