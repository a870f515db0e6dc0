"""The ledger as a table: one row an operation, then what the account's header shows."""

import pytest

from schemas import commands as cmd
from schemas.plans import AccountTerms, CostRule, RegenerationTerms
from tests.specification.given import MINUTE, World, failed, model, outcome, plan, submit

SUCCESS_AND_FAILURE = """
    operation              | granted | regenerated | reserved | captured | available
    open                   |    10   |      0      |     0    |     0    |    10
    submit a 3             |    10   |      0      |     3    |     0    |     7
    submit b 7             |    10   |      0      |    10    |     0    |     0
    submit c 1             |    10   |      0      |    10    |     0    |     0
    succeed a              |    10   |      0      |     7    |     3    |     0
    grant 5                |    15   |      0      |     7    |     3    |     5
    fail b                 |    15   |      0      |     0    |     3    |    12
    fail b                 |    15   |      0      |     0    |     3    |    12
    submit d 12            |    15   |      0      |    12    |     3    |     0
    cancel d               |    15   |      0      |     0    |     3    |    12
    succeed d              |    15   |      0      |     0    |     3    |    12
    grant -12              |     3   |      0      |     0    |     3    |     0
    grant -1               |     3   |      0      |     0    |     3    |     0
"""
RETRIES = """
    operation              | granted | regenerated | reserved | captured | available
    open                   |    10   |      0      |     0    |     0    |    10
    submit a 4             |    10   |      0      |     4    |     0    |     6
    stumble a              |    10   |      0      |     4    |     0    |     6
    wait 60                |    10   |      0      |     4    |     0    |     6
    succeed a              |    10   |      0      |     4    |     0    |     6
    succeed a.2            |    10   |      0      |     0    |     4    |     6
    submit b 6             |    10   |      0      |     6    |     4    |     0
    wait 90000             |    10   |      0      |     6    |     4    |     0
    wait 90001             |    10   |      0      |     0    |     4    |     6
"""
REGENERATION = """
    operation              | granted | regenerated | reserved | captured | available
    open                   |    10   |      0      |     0    |     0    |    10
    submit a 4             |    10   |      0      |     4    |     0    |     6
    wait 900               |    10   |      0      |     4    |     0    |     6
    open                   |    10   |      1      |     4    |     0    |     7
    wait 90000             |    10   |      1      |     0    |     0    |    11
    open                   |    10   |      1      |     0    |     0    |    11
    submit b 3             |    10   |      1      |     3    |     0    |     8
    wait 93600             |    10   |      1      |     3    |     0    |     8
    wait 180000            |    10   |      1      |     0    |     0    |    11
    submit c 2             |    10   |      1      |     2    |     0    |     9
"""


def world_of(regenerates: bool) -> World:
    """An account whose models cost what their name says; a lease lost before a start does not count."""
    regeneration = RegenerationTerms(1, 15 * MINUTE, 10) if regenerates else None
    terms = AccountTerms(opening_credits=10, regeneration=regeneration)
    models = {str(cost): model(cost=CostRule(cost), attempts_max=2) for cost in range(1, 13)}
    return World(plan(terms, models=models))


def perform(world: World, operation: str) -> None:
    """Do what a row says; `succeed a.2` speaks of the second attempt, `wait 60` ticks 60 s after the beginning."""
    verb, *rest = operation.split()
    name, _, attempt = rest[0].partition(".") if rest else ("", "", "")
    commands: dict[str, cmd.AnyCommand] = {
        "open": cmd.OpenAccount(),
        "grant": cmd.GrantCredits(int(name) if verb == "grant" else 0, "gift"),
        "submit": submit(f"job_{name}", rest[-1] if rest else ""),
        "succeed": outcome(f"job_{name}", int(attempt or 1)),
        "fail": outcome(f"job_{name}", int(attempt or 1), failed()),
        "stumble": outcome(f"job_{name}", int(attempt or 1), failed("transient")),
        "cancel": cmd.CancelJob(f"job_{name}"),
    }
    if verb == "wait":
        world.tick(1000 * int(name))
    else:
        world.when(commands[verb])


@pytest.mark.parametrize(
    ("table", "regenerates"), [(SUCCESS_AND_FAILURE, False), (RETRIES, False), (REGENERATION, True)]
)
def test_ledger(table: str, regenerates: bool) -> None:
    world = world_of(regenerates)
    heading, *rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    for operation, *cells in rows:
        perform(world, operation)
        shown = {column: getattr(world.header(), column) for column in heading[1:]}
        assert shown == {column: int(cell) for column, cell in zip(heading[1:], cells, strict=True)}, operation
