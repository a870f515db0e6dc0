"""How large a storm is: small where every change is tested, large by hand.

DARKROOM_CHAOS_COMMANDS (2000), DARKROOM_CHAOS_KILLS of each kind of process (6), DARKROOM_CHAOS_SEED (1).
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Storm:
    """Commands to send, kills of each kind of process, and the seed of it all."""

    commands: int
    kills: int
    seed: int


def asked_for(commands: int = 2_000, kills: int = 6) -> Storm:
    """The storm that the environment asks for, or one of this size."""
    return Storm(_number("COMMANDS", commands), _number("KILLS", kills), _number("SEED", 1))


def _number(name: str, default: int) -> int:
    return int(os.environ.get(f"DARKROOM_CHAOS_{name}", default))
