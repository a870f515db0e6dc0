"""Pieces of SQL that the tables of all models are written with. Column names are the rows' field names.

Statements name tables without a schema: the search path gives them their generation (`infra.postgres.generations`).
"""


def coalesced(*columns: str, source: str = "u") -> str:
    """The new value where there is one, else the old one, of each column."""
    return ", ".join(f"{column} = coalesce({source}.{column}, t.{column})" for column in columns)


def added(*columns: str) -> str:
    """The sum of old and new of each column of an upsert."""
    return ", ".join(f"{column} = t.{column} + excluded.{column}" for column in columns)


def populated(table: str) -> str:
    """The rows of the parameter, as rows of the table."""
    return f"SELECT * FROM json_populate_recordset(NULL::{table}, %s::json)"


def inserted(table: str) -> str:
    """New rows, whole."""
    return f"INSERT INTO {table} {populated(table)}"


def upserted(table: str, columns: tuple[str, ...], key: str) -> str:
    """Begin an upsert of these columns of the parameter's rows; what to do on conflict follows."""
    names = ", ".join(columns)
    return f"INSERT INTO {table} AS t ({names}) SELECT {names} FROM ({populated(table)}) AS u ON CONFLICT ({key})"
