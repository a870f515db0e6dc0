"""What a fault is: a name, a kind, and a strike that ends with its cure and says what it really hit.

A fault that meddles with what workers say to a server has a `Detour`: the arena opens it before the stack starts, and
workers reach the server through it (`infra.local.detours`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tests.chaos.arena import Arena

Kind = Literal[
    "dead worker",
    "hanging worker",
    "clean restart",
    "lost host",
    "other worker",
    "lost server",
    "network",
    "bad answers",
]
"""What a standstill of partitions is counted under; the first four are faults of processors, who own partitions."""


@dataclass(frozen=True)
class Struck:
    """What one strike really did: how often, by a name that stands in the table. Empty: it met nothing."""

    counts: Mapping[str, int]


class Detour(Protocol):
    """A proxy between the workers and one server: ``kafka``, ``s3``, ``postgres`` or ``triton``."""

    @property
    def server(self) -> str: ...

    async def open(self, upstream: Callable[[], int]) -> int:
        """Listen on a free port of 127.0.0.1, which is returned.

        ``upstream`` names the server's own port; it may be asked for each connection, not before the stack starts.
        """

    async def close(self) -> None: ...


@runtime_checkable
class Prepared(Protocol):
    """A fault that readies the data directory before the stack starts, and tidies up after its end."""

    def prepare(self, data: Path) -> None: ...

    def clean(self) -> None: ...


class Fault(Protocol):
    """One way to hurt a running stack."""

    @property
    def name(self) -> str:
        """Unique among all faults; ``--faults`` takes it."""

    @property
    def kind(self) -> Kind: ...

    @property
    def detour(self) -> Detour | None:
        """Faults of the same server share one object; only one detour of a server can be there."""

    async def strike(self, arena: Arena, draw: random.Random) -> Struck:
        """Strike once and return when it is cured (a killed process may still be starting again)."""
