"""Detours of the local stack: workers alone take them."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.detours import KAFKA_LISTENER, VARIABLE, detours_of
from infra.local.errors import LocalError
from infra.local.layout import Layout, claim
from infra.local.stack import Hooks, Options, components, open_stack, settings_of, worker_environment
from infra.settings import Settings, load_settings

WORKERS = ("gateway-0", "processor-0", "dispatcher-0", "projector-0")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "var")
    claim(made).release()
    return made


@pytest.mark.parametrize("name", WORKERS)
def test_workers_take_detours_and_operators_do_not(layout: Layout, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(VARIABLE, '{"kafka": 19092, "s3": 19000, "postgres": 15432, "triton": 18001}')
    stack = open_stack(layout, Options(only=("kafka",)))
    direct = settings_of(layout)
    read = _read(worker_environment(layout, stack, name), monkeypatch)
    assert read.kafka.bootstrap_servers == "127.0.0.1:19092"
    assert read.s3.endpoint_url == "http://127.0.0.1:19000"
    assert read.s3.public_endpoint_url == direct.s3.endpoint_url == f"http://127.0.0.1:{stack.ports['s3']}"
    assert "@127.0.0.1:15432/" in read.postgres_dsn
    assert read.triton_urls == ("127.0.0.1:18001",)
    assert direct.kafka.bootstrap_servers == f"127.0.0.1:{stack.ports['kafka']}"
    assert f"@127.0.0.1:{stack.ports['postgres']}/" in direct.postgres_dsn
    assert direct.triton_urls == (f"127.0.0.1:{stack.ports['triton-grpc']}",)
    assert read.metrics_port == stack.ports[name]


async def test_kafka_tells_those_who_come_by_the_detour_to_stay_on_it(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, '{"kafka": 19092}')
    rows = await _broker_settings(layout, monkeypatch)
    ports = open_stack(layout, Options(only=("kafka",))).ports
    assert f"DETOUR://127.0.0.1:{ports[KAFKA_LISTENER]}" in rows["listeners"].split(",")
    assert rows["advertised.listeners"].split(",") == [
        f"PLAINTEXT://127.0.0.1:{ports['kafka']}",
        "DETOUR://127.0.0.1:19092",
    ]


async def test_without_detours_there_is_one_way_to_each_server(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    rows = await _broker_settings(layout, monkeypatch)
    stack = open_stack(layout, Options(only=("kafka",)))
    assert KAFKA_LISTENER not in stack.ports
    assert rows["advertised.listeners"] == f"PLAINTEXT://127.0.0.1:{stack.ports['kafka']}"
    assert "DARKROOM_S3__PUBLIC_ENDPOINT_URL" not in worker_environment(layout, stack, "gateway-0")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"redis": 1}', '{"kafka": "19092"}', '{"kafka": 0}', '{"s3": 65536}', '{"s3": true}']
)
def test_what_is_no_detour_is_refused(text: str) -> None:
    with pytest.raises(LocalError, match=VARIABLE):
        detours_of({VARIABLE: text}, "local")


def test_only_the_local_deployment_takes_detours() -> None:
    with pytest.raises(LocalError, match="deployment local alone"):
        detours_of({VARIABLE: '{"kafka": 19092}'}, "production")


async def _broker_settings(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the broker is told at its start; its log directory is taken for formatted."""
    stack = open_stack(layout, Options(only=("kafka",)))
    (layout.root / "kafka" / "log").mkdir(parents=True)
    (layout.root / "kafka" / "log" / "meta.properties").touch()
    (made,) = components(layout, stack, Options(only=("kafka",)), Hooks())
    await made.command()
    lines = (layout.root / "kafka" / "server.properties").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def _read(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DARKROOM_SETTINGS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()
