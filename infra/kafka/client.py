"""Connections to the brokers: arguments from the settings, and a start with a deadline that retries.

aiokafka tries each bootstrap server once and gives up; a broker that is still starting is then taken for a
wrong address. `start_client` tries again until its own deadline.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from infra.errors import ServerUnreachable
from infra.settings import KafkaSettings

_RETRY_S = 0.2


class BrokersUnreachable(ServerUnreachable):
    """No broker answered in time; the message is one sentence that names the addresses and the cure."""


def connection_arguments(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments that aiokafka's client, consumer and producer share: addresses, TLS and SASL."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol in ("SSL", "SASL_SSL"):
        arguments["ssl_context"] = ssl_context(kafka)
    if kafka.security_protocol.startswith("SASL") and kafka.sasl_password is not None:
        arguments["sasl_mechanism"] = kafka.sasl_mechanism
        arguments["sasl_plain_username"] = kafka.sasl_username
        arguments["sasl_plain_password"] = kafka.sasl_password.get_secret_value()
    return arguments


def ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    """The TLS context: the settings' certificate authority or the system's, and our own certificate if named."""
    context = ssl.create_default_context(cafile=None if kafka.ssl_cafile is None else str(kafka.ssl_cafile))
    if kafka.ssl_certfile is not None:
        context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile)
    return context


async def start_client(
    kafka: KafkaSettings,
    *,
    client_id: str = "darkroom",
    request_timeout_ms: int = 6_000,
    deadline_s: float = 30.0,
) -> AIOKafkaClient:
    """A started low-level client that knows the cluster's brokers. Raises `BrokersUnreachable` after ``deadline_s``.

    A request without an answer in ``request_timeout_ms`` closes its connection, so that nothing queues behind it;
    keep it below the deadline of a transaction.
    """

    async def attempt() -> AIOKafkaClient:
        client = AIOKafkaClient(
            client_id=client_id, request_timeout_ms=request_timeout_ms, **connection_arguments(kafka)
        )
        try:
            await client.bootstrap()
        except BaseException:
            await client.close()
            raise
        return client

    return await retry_until(attempt, kafka, deadline_s)


async def retry_until(
    attempt: Callable[[], Awaitable[Any]], kafka: KafkaSettings, deadline_s: float, retry_s: float = _RETRY_S
) -> Any:
    """The result of ``attempt``, called again after each connection failure until the deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        try:
            async with asyncio.timeout_at(end):
                return await attempt()
        except (KafkaError, OSError, TimeoutError) as error:
            if loop.time() + retry_s >= end:
                raise BrokersUnreachable(
                    f"No Kafka broker answered at {kafka.bootstrap_servers} within {deadline_s:g} s:"
                    " start Kafka or correct DARKROOM_KAFKA__BOOTSTRAP_SERVERS."
                ) from error
        await asyncio.sleep(retry_s)
