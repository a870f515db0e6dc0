"""Many short lives under faults, each from its seed.

Replay one: python -m pytest "tests/simulation/test_seeds.py::test_a_life_under_faults[SEED]"
More of them: DARKROOM_SEEDS=1000-2000 python -m pytest tests/simulation/test_seeds.py
"""

import os

import pytest

from tests.simulation.scenario import Scenario
from tests.simulation.virtual import run_virtually


def seeds() -> range:
    """The seeds to play: 0 to 49 unless DARKROOM_SEEDS names others as FIRST-LAST."""
    first, _, last = os.environ.get("DARKROOM_SEEDS", "0-49").partition("-")
    return range(int(first), int(last or first) + 1)


@pytest.mark.parametrize("seed", seeds())
def test_a_life_under_faults(seed: int) -> None:
    async def life() -> None:
        await Scenario(seed).run()

    try:
        run_virtually(life)
    except BaseException as error:
        error.add_note(
            f"replay: DARKROOM_SEEDS={seed} python -m pytest 'tests/simulation/test_seeds.py::"
            f"test_a_life_under_faults[{seed}]'"
        )
        raise


def test_the_same_seed_lives_the_same_life() -> None:
    async def life() -> list[bytes | None]:
        scenario = Scenario(7)
        await scenario.run()
        return [record.value for record in await scenario.cluster.records("events")]

    assert run_virtually(life) == run_virtually(life)
