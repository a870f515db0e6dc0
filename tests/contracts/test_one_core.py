"""Behind all five documents is one core: the same story leaves the same commands, events and lines of money."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.contracts.one_core import CONTRACTS, Contract, Told, told_by
from tests.stack import Stack

# What each document's own client does before the story, or what only one of them needs: not a part of the comparison.
PREPARING = {"open-account", "register-asset", "grant-credits", "delete-asset", "record-purge", "tick"}
GROUPED = {"submit-group": "submit-job"}  # a group of one is decided as its one job
OF_THE_JOB = (
    "job-accepted",
    "credits-reserved",
    "attempt-released",
    "job-started",
    "job-succeeded",
    "credits-captured",
)
COMMANDS = ["submit-job", "attempt-started", "record-outcome", "submit-job"]
_told: dict[str, Told] = {}


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.product)
async def test_one_picture_asked_for_twice(
    contract: Contract, stack: Stack, http: Callable[..., httpx.AsyncClient]
) -> None:
    told = await told_by(stack, contract, http)
    _told[contract.product] = told
    commands = [GROUPED.get(command, command) for command in told.commands if command not in PREPARING]
    assert [command for command in commands if command != "renew-lease"] == COMMANDS
    assert [event for event in told.events if event in OF_THE_JOB] == list(OF_THE_JOB), "once, and in this order"
    assert "command-duplicate" in told.events, "the second time is known as a repeat"
    spent = [line for line in told.ledger if line[0] in ("reserved", "captured", "released")]
    assert spent == [("reserved", contract.price), ("captured", contract.price)]


async def test_the_same_commands_and_the_same_ledger_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert _told.keys() == {contract.product for contract in CONTRACTS}, "told in the tests before"
    with capsys.disabled():
        print("\n\n| document | commands of the job | events of the job | money |\n|---|---|---|---|")
        for contract in CONTRACTS:
            told = _told[contract.product]
            commands = ", ".join(command for command in told.commands if command not in PREPARING)
            events = ", ".join(event for event in told.events if event in OF_THE_JOB)
            money = ", ".join(f"{kind} {amount}" for kind, amount in told.ledger if kind in ("reserved", "captured"))
            print(f"| {contract.document} {contract.product} | {commands} | {events} | {money} |")
    shapes = {tuple(event for event in told.events if event in OF_THE_JOB) for told in _told.values()}
    assert len(shapes) == 1
