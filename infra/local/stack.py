"""The composition of the local stack: which components, on which ports, with which settings."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from infra.local.component import Component, http_ok, listens, nothing
from infra.local.detours import KAFKA_LISTENER, detours_of
from infra.local.errors import LocalError
from infra.local.kafka import Listeners, kafka_component
from infra.local.layout import (
    FORMAT,
    Layout,
    StackFile,
    make_secrets,
    plan_ports,
    read_stack_file,
    write_stack_file,
)
from infra.local.ports import is_free
from infra.local.postgres import dsn, make_database, postgres_component
from infra.local.process import Command, inherited
from infra.local.s3 import s3_component
from infra.local.triton import REPOSITORY, triton_component
from infra.priority import BEHIND_ANSWERS
from infra.settings import Settings

SERVERS = ("kafka", "s3", "postgres", "triton", "triton-quarantine")
WORKERS: Mapping[str, tuple[str, ...]] = {
    "processor-0": ("kafka",),
    "processor-1": ("kafka",),
    "dispatcher-0": ("kafka", "s3", "triton"),
    "projector-0": ("kafka", "postgres"),
    "gateway-0": ("kafka", "s3", "postgres"),
    "auditor-0": ("kafka", "postgres"),
}
NAMES = (*SERVERS, *WORKERS)
_WORKER_CAPS_MIB = {"processor": 2048, "dispatcher": 2048, "projector": 512, "gateway": 768, "auditor": 512}
_HOST = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::")  # nosec B104 # what an operator may ask for, compared with
_BUCKET = "darkroom"

SettingsHook = Callable[[Settings], Awaitable[None]]
DeathHook = Callable[[Settings, str, str], Awaitable[None]]


async def _no_settings_hook(_: Settings) -> None:
    return None


async def _no_death_hook(_settings: Settings, _group: str, _member: str) -> None:
    return None


@dataclass(frozen=True)
class Hooks:
    """What the composition root adds: making the topics, and telling Kafka of a dead group member."""

    make_topics: SettingsHook = _no_settings_hook
    leave_group: DeathHook = _no_death_hook


@dataclass(frozen=True)
class Options:
    """What ``darkroom up`` was asked for."""

    host: str = _HOST
    port: int = 8000
    public_url: str | None = None
    only: tuple[str, ...] = NAMES
    models: Path = REPOSITORY
    environment: Mapping[str, str] = field(default_factory=dict)


def open_stack(layout: Layout, options: Options) -> StackFile:
    """Decide ports and settings of this start and store them. The directory must be claimed."""
    known = read_stack_file(layout)
    if "gateway-0" in options.only and not is_free(options.port, options.host):
        raise LocalError(f"Port {options.port} is taken: stop what listens there, or choose another one with --port.")
    make_secrets(layout)
    deployment = known.deployment if known else "local"
    detour = (KAFKA_LISTENER,) if "kafka" in detours_of(os.environ, deployment) else ()
    ports = plan_ports(known, (*WORKERS, *detour))
    host = _HOST if options.host in _EVERYWHERE else options.host
    stack = StackFile(
        format=FORMAT,
        deployment=deployment,
        partitions=known.partitions if known else 8,
        url=options.public_url or f"http://{host}:{options.port}",
        host=options.host,
        port=options.port,
        ports=ports,
    )
    write_stack_file(layout, stack)
    return stack


def settings_of(layout: Layout) -> Settings:
    """The settings of the stack in a data directory, running or not. Raises `LocalError` before its first start."""
    stack = read_stack_file(layout)
    if stack is None:
        raise LocalError(f"There is no stack in {layout.root}: start one with `darkroom up --data {layout.root}`.")
    return Settings.model_validate(_values(layout, stack))


def worker_environment(layout: Layout, stack: StackFile, name: str) -> dict[str, str]:
    """The variables of one worker process; it goes by the detours that the environment asks for.

    One heap for all threads of a processor: they take turns anyway, and each heap keeps what its own peaks took.
    """
    detours = detours_of(os.environ, stack.deployment)
    through = replace(stack, ports={**stack.ports, **detours})
    values = {**_values(layout, through), "metrics_port": stack.ports[name], "worker_name": name}
    environment = dict(_flatten("DARKROOM", values))
    if name.startswith("processor"):
        environment["MALLOC_ARENA_MAX"] = "1"
    if "s3" in detours:  # clients are not detoured
        environment["DARKROOM_S3__PUBLIC_ENDPOINT_URL"] = f"http://{_HOST}:{stack.ports['s3']}"
    return environment


def components(layout: Layout, stack: StackFile, options: Options, hooks: Hooks) -> tuple[Component, ...]:
    """The components asked for, in the order of the status table."""
    unknown = sorted(set(options.only) - set(NAMES))
    if unknown:
        raise LocalError(f"There is no component {unknown[0]}: choose among {', '.join(NAMES)}.")
    made = (_server(name, layout, stack, options, hooks) for name in SERVERS if name in options.only)
    workers = (_worker(name, layout, stack, options, hooks) for name in WORKERS if name in options.only)
    return (*made, *workers)


def _server(name: str, layout: Layout, stack: StackFile, options: Options, hooks: Hooks) -> Component:
    ports = stack.ports
    settings = Settings.model_validate(_values(layout, stack))
    if name == "kafka":
        make_topics = partial(hooks.make_topics, settings)
        detours = detours_of(os.environ, stack.deployment)
        listeners = Listeners(
            ports["kafka"], ports["kafka-controller"], ports.get(KAFKA_LISTENER), detours.get("kafka")
        )
        return kafka_component(layout.root / "kafka", listeners, make_topics)
    if name == "s3":
        keys = (settings.s3.access_key, settings.s3.secret_key.get_secret_value())
        return s3_component(layout.root / "s3", ports["s3"], *keys, _BUCKET)
    if name == "postgres":
        password = layout.secret("postgres-password")
        database = partial(make_database, ports["postgres"], password)
        return postgres_component(layout.root / "postgres", ports["postgres"], password, database)
    alone = name == "triton-quarantine"
    kind = "quarantine" if alone else "triton"
    numbers = (ports[f"{kind}-grpc"], ports[f"{kind}-http"], ports[f"{kind}-metrics"])
    return triton_component(layout.root / name, *numbers, options.models, settings.onnx_models, quarantine=alone)


def _worker(name: str, layout: Layout, stack: StackFile, options: Options, hooks: Hooks) -> Component:
    role, index = name.rsplit("-", 1)
    port = stack.ports[name]
    health = port
    if role == "gateway":
        health = stack.port
    member = layout.member_file(name)

    async def command() -> Command:
        member.unlink(missing_ok=True)
        argv = (sys.executable, "-m", "infra.cli.main", "serve", role, "--index", index)
        environment = {**worker_environment(layout, stack, name), **options.environment, "PYTHONUNBUFFERED": "1"}
        nice = BEHIND_ANSWERS if role in ("dispatcher", "projector") else 0
        return Command(argv, inherited(environment), Path(__file__).resolve().parents[2], nice=nice)

    async def on_death() -> None:
        found = _read_member(member)
        if found is not None:
            await hooks.leave_group(Settings.model_validate(_values(layout, stack)), *found)

    host = _HOST if stack.host in _EVERYWHERE else stack.host
    waits = role == "auditor"  # it has the lowest priority: on a busy machine it may get no turn for a while
    return Component(
        name=name,
        endpoint=stack.url if role == "gateway" else f"http://{_HOST}:{port}",
        command=command,
        healthy=(lambda: listens(_HOST, health)) if waits else lambda: http_ok(host, health, "/healthz"),
        memory_cap_bytes=_WORKER_CAPS_MIB[role] << 20,
        after=WORKERS[name],
        on_death=on_death if role in ("processor", "dispatcher") else nothing,
        stop_limit_s=2.0 if waits else 10.0,
    )


def _read_member(path: Path) -> tuple[str, str] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content["group"]), str(content["member_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _values(layout: Layout, stack: StackFile) -> dict[str, object]:
    ports = stack.ports
    own_models = os.environ.get("DARKROOM_ONNX_MODELS")
    return {
        **({"onnx_models": str(Path(own_models).resolve())} if own_models else {}),
        "data_dir": str(layout.root.resolve()),
        "deployment": stack.deployment,
        "partitions": stack.partitions,
        "kafka": {"bootstrap_servers": f"{_HOST}:{ports['kafka']}"},
        "postgres_dsn": dsn(ports["postgres"], layout.secret("postgres-password")),
        "s3": {
            "endpoint_url": f"http://{_HOST}:{ports['s3']}",
            "bucket": _BUCKET,
            "access_key": layout.secret("s3-access-key"),
            "secret_key": layout.secret("s3-secret-key"),
        },
        "triton_urls": [f"{_HOST}:{ports['triton-grpc']}"],
        "triton_quarantine_url": f"{_HOST}:{ports['quarantine-grpc']}",
        "gateway": {"host": stack.host, "port": stack.port, "public_url": stack.url},
        "secrets_dir": str(layout.secrets.resolve()),
    }


def _flatten(prefix: str, values: Mapping[str, object]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        key = f"{prefix}_{name}".upper() if prefix == "DARKROOM" else f"{prefix}__{name}".upper()
        if isinstance(value, dict):
            rows += _flatten(key, value)
        else:
            rows.append((key, json.dumps(value) if isinstance(value, list) else str(value)))
    return rows
