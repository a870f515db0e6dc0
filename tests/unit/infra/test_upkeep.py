"""When a sweep may begin: only once the read models know the last command."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from infra.cli import upkeep
from infra.cli.upkeep import NotCaughtUp
from infra.clock import ManualClock
from infra.kafka.memory import MemoryLog
from infra.postgres.positions import READ_MODELS
from schemas.codec import pack_items
from schemas.positions import Position
from schemas.topics import COMMANDS


class _Tracked:
    """The table of positions: partition 0 stands at (offset, index) in every read model."""

    def __init__(self, *source: int) -> None:
        self.source = source

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return [(0, 9, *self.source, 0) for _ in READ_MODELS]

    async def row(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        raise AssertionError("nobody asks for one row")


@pytest.mark.parametrize("reached", [(5, 2), (5, 3), (6, 0)])
async def test_who_knows_the_last_command_is_caught_up(reached: tuple[int, int]) -> None:
    await upkeep._caught_up(_Tracked(*reached), {0: Position(0, 5, 2)})


@pytest.mark.parametrize("reached", [(5, 1), (4, 9)])
async def test_who_does_not_may_not_sweep(reached: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "CAUGHT_UP_WITHIN_S", 0.05)
    with pytest.raises(NotCaughtUp, match="behind the log in 1 partitions"):
        await upkeep._caught_up(_Tracked(*reached), {0: Position(0, 5, 2)})
    with pytest.raises(NotCaughtUp):
        await upkeep._caught_up(_Tracked(9, 9), {1: Position(1, 0, 0)})


async def test_the_last_command_is_the_last_item_of_the_last_record_that_is_kept() -> None:
    log = MemoryLog(ManualClock(1_000), {COMMANDS: 4}, (COMMANDS,))
    log.append(COMMANDS, 0, pack_items([b"{}"]))
    log.append(COMMANDS, 0, pack_items([b"{}", b"{}", b"{}"]))
    log.append(COMMANDS, 1, b"no record that anybody can read")
    log.append(COMMANDS, 2, pack_items([b"{}"]))
    log.delete_before(COMMANDS, 2, 1)
    assert await upkeep._ends(log, 4) == {0: Position(0, 1, 2), 1: Position(1, 0, 0)}
