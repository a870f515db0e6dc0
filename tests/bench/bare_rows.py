"""The bare components for projections that know the rows beforehand: what it costs to move them, without any logic.

The rows are those that the projector makes of the same events, folded in batches of its size before the clock starts.
Each kind of row has tables of its own: `upsert` puts a batch into ones with a primary key, one statement a kind with an
array a column; `copy` adds it to ones without any index. Nothing is looked up, added up, told to anybody or tracked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_type_hints

import asyncpg
import msgspec

from projections import rows as r
from projections.intake import FOLDS, Intake
from projections.ports import Tracked
from projections.runner import BATCH_EVENTS_MAX
from tests.bench.measure import Figure, check, cpu_seconds

How = Literal["upsert", "copy"]
KEYS: Mapping[type[r.Row], tuple[str, ...]] = {
    r.NewJob: ("account", "job"),
    r.JobChange: ("account", "job"),
    r.JobCount: ("account", "job", "status"),
    r.JobEvents: ("account", "job", "version"),
    r.AccountChange: ("account",),
    r.AccountDay: ("account", "day_ms"),
    r.WindowChange: ("account", "kind", "start_ms"),
    r.LedgerLine: ("account", "version"),
    r.PlanTaken: ("account", "version"),
    r.NewAsset: ("account", "asset"),
    r.PartitionChange: ("partition",),
    r.PublishedPlan: ("partition", "plan_version"),
}
"""What makes a row of each kind that synthetic events lead to."""
_TYPES: Mapping[type, str] = {str: "text", bytes: "text", int: "bigint", bool: "boolean"}
_encoder = msgspec.json.Encoder()


class Record(msgspec.Struct, frozen=True):
    """A record of the log, as the intake takes it."""

    offset: int
    value: bytes
    key: bytes | None = None


class Batch(msgspec.Struct, frozen=True):
    """What one transaction moves: values by row and by column of each kind, as the driver takes them."""

    rows: Mapping[type[r.Row], Sequence[tuple[Any, ...]]]
    columns: Mapping[type[r.Row], Sequence[Sequence[Any]]]


class KnownRows:
    """The rows of events that follow each other, from the beginning of the log."""

    def __init__(self, partitions: int) -> None:
        generations, shares = dict.fromkeys(FOLDS, 1), range(partitions)
        tracked = {name: Tracked() for name in Intake.names(generations, shares)}
        self._intake = Intake(generations, shares, tracked)
        self._next = dict.fromkeys(shares, 0)

    def batches(self, values: Mapping[int, Sequence[bytes]]) -> list[Batch]:
        """The rows of these next events of each partition, in batches as the projector makes them."""
        records: dict[int, list[Record]] = {}
        for partition, part in values.items():
            begin = self._next[partition]
            self._next[partition] = begin + len(part)
            records[partition] = [Record(begin + number, value) for number, value in enumerate(part)]
        step = BATCH_EVENTS_MAX // len(values)
        made = []
        for at in range(0, max(map(len, values.values())), step):
            work = self._intake.take_events({partition: part[at : at + step] for partition, part in records.items()})
            if work is not None:
                made.append(_batch({kind: part for group in work.rows for kind, part in group.items()}))
        return made


def move(dsn: str, postgres_pid: int, how: How, batches: Sequence[Batch], events: int) -> Figure:
    """Move the rows of so many events: events a second, and CPU of this process and PostgreSQL."""
    return asyncio.run(_moved(dsn, postgres_pid, how, batches, events))


async def _moved(dsn: str, postgres_pid: int, how: How, batches: Sequence[Batch], events: int) -> Figure:
    write: Callable[[asyncpg.Connection, Batch], Awaitable[None]] = _upserted if how == "upsert" else _copied
    connection = await asyncpg.connect(dsn)
    try:
        for kind in KEYS:
            await connection.execute(_table(kind, how))
        cpu, started = time.process_time() + cpu_seconds((postgres_pid,)), time.perf_counter()
        for batch in batches:
            async with connection.transaction():
                await write(connection, batch)
        seconds = time.perf_counter() - started
        used = time.process_time() + cpu_seconds((postgres_pid,)) - cpu
    finally:
        await connection.close()
    return Figure(events / seconds, 1e6 * used / events)


async def _upserted(connection: asyncpg.Connection, batch: Batch) -> None:
    for kind, columns in batch.columns.items():
        await connection.execute(upsert_statement(kind), *columns)


async def _copied(connection: asyncpg.Connection, batch: Batch) -> None:
    for kind, rows in batch.rows.items():
        names = kind.__struct_fields__
        await connection.copy_records_to_table(_name(kind, "copy"), records=rows, columns=names, schema_name="public")


def upsert_statement(kind: type[r.Row]) -> str:
    """The upsert of arrays, one a column in the order of the kind's fields."""
    key = KEYS[kind]
    arrays = ", ".join(f"${number}::{of}[]" for number, of in enumerate(column_types(kind).values(), 1))
    changed = ", ".join(f"{name} = excluded.{name}" for name in kind.__struct_fields__ if name not in key)
    action = f"UPDATE SET {changed}" if changed else "NOTHING"
    table = f"public.{_name(kind, 'upsert')} ({', '.join(kind.__struct_fields__)})"
    return f"INSERT INTO {table} SELECT * FROM unnest({arrays}) ON CONFLICT ({', '.join(key)}) DO {action}"


def column_types(kind: type[r.Row]) -> dict[str, str]:
    """PostgreSQL's type for each field, in order: what is neither text nor a number nor a truth value is JSON."""
    hints = get_type_hints(kind)
    return {name: _TYPES.get(_bare(hints[name]), "json") for name in kind.__struct_fields__}


def _bare(hint: Any) -> Any:
    """The type that is not None."""
    left = [of for of in get_args(hint) if of is not type(None)]
    return left[0] if type(None) in get_args(hint) and len(left) == 1 else hint


def _table(kind: type[r.Row], how: How) -> str:
    columns = ", ".join(f"{name} {of}" for name, of in column_types(kind).items())
    key = f", PRIMARY KEY ({', '.join(KEYS[kind])})" if how == "upsert" else ""
    return f"CREATE TABLE IF NOT EXISTS public.{_name(kind, how)} ({columns}{key})"


def _name(kind: type[r.Row], how: How) -> str:
    return f"bench_{how}_{kind.__name__.lower()}"


def _batch(rows: r.Rows) -> Batch:
    unknown = [kind.__name__ for kind in rows if kind not in KEYS]
    check(not unknown, f"rows of kinds that the bare components do not know: {unknown}")
    taken = {kind: [_values(kind, row) for row in part] for kind, part in rows.items()}
    return Batch(taken, {kind: list(zip(*part, strict=True)) for kind, part in taken.items()})


def _values(kind: type[r.Row], row: r.Row) -> tuple[Any, ...]:
    return tuple(
        value if value is None or type(value) in (str, int, bool) else _text(value)
        for value in (getattr(row, name) for name in kind.__struct_fields__)
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else _encoder.encode(value).decode()
