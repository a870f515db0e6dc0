"""The composition of the local stack."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from infra.local.errors import LocalError
from infra.local.layout import Layout, StackFile, claim
from infra.local.stack import NAMES, Hooks, Options, components, open_stack
from infra.settings import Settings


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "var")
    claim(made).release()
    return made


@pytest.fixture
def stack(layout: Layout) -> StackFile:
    return open_stack(layout, Options(only=("kafka",)))


async def test_a_dead_member_is_reported_to_its_group_if_it_had_joined(layout: Layout, stack: StackFile) -> None:
    told: list[tuple[str, str, str]] = []

    async def leave_group(settings: Settings, group: str, member_id: str) -> None:
        told.append((settings.kafka.bootstrap_servers, group, member_id))

    made = {c.name: c for c in components(layout, stack, Options(), Hooks(leave_group=leave_group))}
    await made["processor-1"].on_death()
    layout.member_file("processor-1").write_text("{")
    await made["processor-1"].on_death()
    assert told == []
    layout.member_file("processor-1").write_text(json.dumps({"group": "processors", "member_id": "m-1"}))
    await made["processor-0"].on_death()
    await made["processor-1"].on_death()
    assert told == [(f"127.0.0.1:{stack.ports['kafka']}", "processors", "m-1")]


async def test_a_new_life_begins_without_the_membership_of_the_last(layout: Layout, stack: StackFile) -> None:
    (made,) = components(layout, stack, Options(only=("dispatcher-0",)), Hooks())
    layout.member_file("dispatcher-0").write_text(json.dumps({"group": "g", "member_id": "m"}))
    command = await made.command()
    assert not layout.member_file("dispatcher-0").exists()
    assert command.argv[1:] == ("-m", "infra.cli.main", "serve", "dispatcher", "--index", "0")


def test_all_components_in_the_order_of_the_status_table(layout: Layout, stack: StackFile) -> None:
    made = components(layout, stack, Options(), Hooks())
    assert tuple(component.name for component in made) == NAMES
    assert NAMES == (
        "kafka", "s3", "postgres", "triton", "triton-quarantine",
        "processor-0", "processor-1", "dispatcher-0", "projector-0", "gateway-0", "auditor-0",
    )  # fmt: skip


def test_an_unknown_component_is_refused_by_name(layout: Layout, stack: StackFile) -> None:
    with pytest.raises(LocalError, match="no component coffee"):
        components(layout, stack, Options(only=("kafka", "coffee")), Hooks())


async def test_the_auditor_counts_as_healthy_while_it_gets_no_turn(layout: Layout, stack: StackFile) -> None:
    (made,) = components(layout, stack, Options(only=("auditor-0",)), Hooks())
    assert not await made.healthy()
    with socket.create_server(("127.0.0.1", stack.ports["auditor-0"])):  # nobody answers there
        assert await made.healthy()
