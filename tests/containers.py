"""The same servers out of Docker, for machines that have it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import docker
from docker.errors import DockerException
from pydantic import SecretStr
from requests import RequestException
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from infra.local.component import http_answers, http_ok
from infra.local.layout import Layout, make_secrets
from infra.local.triton import REPOSITORY
from infra.settings import KafkaSettings, S3Settings, Settings

_TRITON_IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"
_S3_IMAGE = "andrewgaul/s3proxy:s3proxy-2.7.0"
_DOCKER_API = "1.44"
_READY_LIMIT_S = 120


def docker_answers() -> bool:
    """Whether a Docker daemon answers a ping."""
    if not _somebody_listens(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")):
        return False
    client = docker.from_env(timeout=3, version=_DOCKER_API)  # with a version it asks nothing yet
    try:
        return bool(client.ping())
    except (DockerException, RequestException):
        return False
    finally:
        client.close()


def _somebody_listens(address: str) -> bool:
    """False where a Unix socket is missing or dead; the client library would leak its own socket there."""
    if not address.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address.removeprefix("unix://")) == 0


class ContainerServers:
    """One container a server, started on demand; `settings` grows with them."""

    def __init__(self, root: Path) -> None:
        if not docker_answers():
            raise RuntimeError("--servers=testcontainers needs a Docker daemon that answers a ping: start Docker.")
        self._layout = Layout(root)
        self._layout.secrets.mkdir(parents=True, exist_ok=True)
        make_secrets(self._layout)
        self._values: dict[str, object] = {"data_dir": str(root)}
        self._containers: dict[str, DockerContainer] = {}

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(self._values)

    def need(self, *names: str) -> Settings:
        for name in names:
            if name not in self._containers:
                getattr(self, f"_start_{name}")()
        return self.settings

    def stop(self) -> None:
        for container in reversed(self._containers.values()):
            container.stop()

    def _start_kafka(self) -> None:
        container = KafkaContainer("confluentinc/cp-kafka:8.1.0").with_kraft()
        container.with_env("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000")
        container.with_env("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
        self._containers["kafka"] = container.start()
        self._values["kafka"] = KafkaSettings(bootstrap_servers=container.get_bootstrap_server())
        from infra.kafka.topics import ensure_topics

        asyncio.run(ensure_topics(self.settings))

    def _start_s3(self) -> None:
        access_key, secret_key = self._layout.secret("s3-access-key"), self._layout.secret("s3-secret-key")
        container = DockerContainer(_S3_IMAGE).with_exposed_ports(80)
        container.with_env("S3PROXY_AUTHORIZATION", "aws-v2-or-v4")
        container.with_env("S3PROXY_IDENTITY", access_key).with_env("S3PROXY_CREDENTIAL", secret_key)
        self._containers["s3"] = container.start()
        host, port = container.get_container_host_ip(), int(container.get_exposed_port(80))
        asyncio.run(_until(lambda: http_answers(host, port)))
        made = S3Settings(endpoint_url=f"http://{host}:{port}", access_key=access_key, secret_key=SecretStr(secret_key))
        asyncio.run(_make_bucket(made))
        self._values["s3"] = made

    def _start_postgres(self) -> None:
        container = PostgresContainer("postgres:18", username="darkroom", dbname="darkroom", driver=None)
        self._containers["postgres"] = container.start()
        self._values["postgres_dsn"] = container.get_connection_url()

    def _start_triton(self) -> None:
        container = DockerContainer(_TRITON_IMAGE).with_exposed_ports(8000, 8001)
        container.with_volume_mapping(str(REPOSITORY), "/models", "ro")
        container.with_command("tritonserver --model-repository=/models")
        self._containers["triton"] = container.start()
        host = container.get_container_host_ip()
        port = int(container.get_exposed_port(8000))
        asyncio.run(_until(lambda: http_ok(host, port, "/v2/health/ready")))
        self._values["triton_urls"] = (f"{host}:{container.get_exposed_port(8001)}",)


async def _until(ready: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_READY_LIMIT_S):
        while not await ready():
            await asyncio.sleep(0.5)


async def _make_bucket(settings: S3Settings) -> None:
    import aioboto3

    client = aioboto3.Session().client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key.get_secret_value(),
    )
    async with client as opened:
        await opened.create_bucket(Bucket=settings.bucket)
