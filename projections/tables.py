"""Each kind of row change as SQL: the tables of all read models together, and how rows are encoded for them.

Rows that may meet others reach PostgreSQL as one JSON array a statement: encoding it costs this process little, and the
server takes it apart on a core of its own. Rows that are only added go by COPY, after all statements. Statements keep
the order below.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from projections import asset_tables, job_tables, money_tables
from projections import rows as r

VERSION_HOLES: Mapping[type[r.Row], str] = money_tables.VERSION_HOLES

STATEMENTS: Mapping[type[r.Row], str] = {
    **job_tables.STATEMENTS,
    **money_tables.STATEMENTS,
    **asset_tables.STATEMENTS,
}

COPIES: Mapping[type[r.Row], tuple[str, tuple[str, ...]]] = {
    **job_tables.COPIES,
    **money_tables.COPIES,
    **asset_tables.COPIES,
}
"""Rows that are only ever added, the most of all: table and column types for COPY, in the order of the row's fields."""

_encoder = msgspec.json.Encoder()


def rows_json(rows: Sequence[r.Row]) -> str:
    """The parameter of a kind's statement."""
    text = _encoder.encode(rows).decode()
    return _encoder.encode(_storable(msgspec.to_builtins(rows))).decode() if "\\u0000" in text else text


def copy_statement(kind: type[r.Row]) -> str:
    """COPY of the kind's fields into its table."""
    return f"COPY {COPIES[kind][0]} ({', '.join(kind.__struct_fields__)}) FROM STDIN (FORMAT BINARY)"


def copied(row: r.Row) -> tuple[Any, ...]:
    """The fields of a row for COPY: numbers, texts and texts as bytes."""
    return tuple(
        [
            _storable(value) if type(value) is bytes or (type(value) is str and "\0" in value) else value
            for value in msgspec.structs.astuple(row)
        ]
    )


def _storable(value: Any) -> Any:
    """PostgreSQL's text cannot hold U+0000: it becomes U+FFFD, so that no text can stop the read models for ever."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_storable(item) for item in value]
    return value
