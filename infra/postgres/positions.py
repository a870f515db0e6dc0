"""How far the read models are: what the projector announces, and what readers find when they come.

A notice names positions `partition.offset.index.ordinal` of source commands, separated by spaces: every event up to
them is applied in all read models of the partition. It is sent inside the transaction that writes the rows, so who
hears it finds them. A notice can be lost with its connection; the table `tracking` always knows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import asyncpg

from schemas.positions import Position, parse_position

CHANNEL = "darkroom_positions"
READ_MODELS = ("jobs", "balances", "assets", "partitions")
_POSITIONS_A_NOTICE_MAX = 80  # a position has at most 45 characters, a notice fewer than 8,000 bytes

_TRACKED = """
SELECT split_part(t.application_name, '.', 3)::int, t.notification_id, t.source_offset, t.source_index, t.source_ordinal
FROM public.tracking AS t JOIN public.generations AS g
    ON starts_with(t.application_name, g.model || '.' || g.generation || '.')
WHERE g.state = 'live' AND g.model = ANY($1)
"""


def notices(positions: Sequence[Position]) -> list[str]:
    """The texts that announce the positions."""
    step = _POSITIONS_A_NOTICE_MAX
    return [" ".join(map(str, positions[at : at + step])) for at in range(0, len(positions), step)]


def parse_notice(text: str) -> list[Position]:
    """The positions in a notice; words of another form are left out."""
    return [position for word in text.split() if (position := parse_position(word)) is not None]


async def reached_positions(fetch: Callable[..., Awaitable[list[asyncpg.Record]]]) -> Mapping[int, Position]:
    """How far all live read models are in each partition; those in which one of them has not begun are left out.

    `fetch` is a connection's, or `Reads.rows`.
    """
    rows = await fetch(_TRACKED, list(READ_MODELS))
    by_partition: dict[int, list[tuple[int, Position | None]]] = {}
    for partition, offset, *source in rows:
        position = Position(partition, *source) if source[0] >= 0 else None
        by_partition.setdefault(partition, []).append((offset, position))
    slowest = {partition: min(models, key=lambda model: model[0]) for partition, models in by_partition.items()}
    return {
        partition: position
        for partition, (_, position) in slowest.items()
        if position is not None and len(by_partition[partition]) == len(READ_MODELS)
    }
