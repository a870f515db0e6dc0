"""Mappings that stay small in memory, however much they hold: what an audit remembers of a log without end.

Theory of operation. Each mapping keeps what was used lately in a dictionary. When that has more than `hot_max`
entries, the older half goes to a table of an SQLite file in a temporary directory, in the order of its keys; what is
asked for again comes back. Nothing there outlives its `Spill`, so the file needs no name, journal or flush to disk. A
mapping that never passed `hot_max` never asks SQLite anything. Values are never changed in place: they are put again.
"""

import itertools
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import msgspec

HOT_MAX = 20_000
_CACHE_KIB = 8 << 10
V = TypeVar("V")


class Shelf(Protocol):
    """Where an audit gets its mappings from."""

    def mapping(self, name: str, kind: type[V]) -> MutableMapping[str, V]:
        """An empty mapping; `name` is unique on the shelf, and `kind` is what msgspec reads the values back as."""
        ...


class InMemory:
    """Plain dictionaries, for logs that fit."""

    def mapping(self, name: str, kind: type[V]) -> MutableMapping[str, V]:
        """See the port."""
        return {}


class Spill:
    """A shelf over one temporary file, which has no name and is gone with its process. One thread alone may use it."""

    def __init__(self, hot_max: int = HOT_MAX) -> None:
        self._hot_max = hot_max
        with tempfile.TemporaryDirectory(prefix="darkroom-audit-") as folder:
            self._connection = sqlite3.connect(Path(folder) / "spill", isolation_level=None)
            for pragma in (
                "journal_mode=OFF",
                "synchronous=OFF",
                "locking_mode=EXCLUSIVE",
                f"cache_size=-{_CACHE_KIB}",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute("CREATE TABLE opened (k)")  # the file is open now, and needs its name no longer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def mapping(self, name: str, kind: type[V]) -> "SpilledMapping[V]":
        """See `Shelf.mapping`."""
        if kind is bytes:
            return SpilledMapping(self._connection, name, self._hot_max, _itself, _itself)
        decoder = msgspec.msgpack.Decoder(kind)
        return SpilledMapping(self._connection, name, self._hot_max, msgspec.msgpack.encode, decoder.decode)


class SpilledMapping(MutableMapping[str, V]):
    """One mapping of a `Spill`. Iterating goes in the order of the keys; do not change it meanwhile."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        name: str,
        hot_max: int,
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
    ) -> None:
        table = '"' + name.replace('"', "") + '"'
        self._connection, self._hot_max, self._encode, self._decode = connection, hot_max, encode, decode
        self._hot: dict[str, V | None] = {}  # None: taken out since it was put
        self._changed: set[str] = set()
        self._has_rows = False
        connection.execute(f"CREATE TABLE {table} (k TEXT PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID")
        self._select = f"SELECT v FROM {table} WHERE k = ?"
        self._replace = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
        self._delete = f"DELETE FROM {table} WHERE k = ?"
        self._count = f"SELECT count(*) FROM {table}"
        self._range = f"SELECT k, v FROM {table} WHERE k >= ? ORDER BY k"

    def __getitem__(self, key: str) -> V:
        value = self._hot[key] if key in self._hot else self._load(key)
        if value is None:
            raise KeyError(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        value = self._hot[key] if key in self._hot else self._load(key)
        return default if value is None else value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key) is not None

    def __setitem__(self, key: str, value: V) -> None:
        self._put(key, value)
        self._changed.add(key)

    def __delitem__(self, key: str) -> None:
        if self.get(key) is None:
            raise KeyError(key)
        self._put(key, None)
        self._changed.add(key)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.sorted_items())

    def __len__(self) -> int:
        if not self._has_rows:
            return sum(value is not None for value in self._hot.values())
        self._write(list(self._changed))
        return int(self._connection.execute(self._count).fetchone()[0])

    def sorted_items(self, begin: str = "") -> Iterator[tuple[str, V]]:
        """Keys and values from `begin` on, in the order of the keys."""
        if not self._has_rows:
            hot = sorted((key, value) for key, value in self._hot.items() if value is not None and key >= begin)
            yield from ((key, value) for key, value in hot if value is not None)
            return
        self._write(list(self._changed))
        for key, value in self._connection.execute(self._range, (begin,)):
            yield key, self._decode(value)

    def _load(self, key: str) -> V | None:
        if not self._has_rows:
            return None
        row = self._connection.execute(self._select, (key,)).fetchone()
        if row is None:
            return None
        value = self._decode(row[0])
        self._put(key, value)
        return value

    def _put(self, key: str, value: V | None) -> None:
        self._hot[key] = value
        if len(self._hot) > self._hot_max:
            oldest = list(itertools.islice(self._hot, self._hot_max // 2))
            self._write([name for name in oldest if name in self._changed])
            for name in oldest:
                if name != key:
                    del self._hot[name]

    def _write(self, keys: list[str]) -> None:
        """Bring the table up to these entries."""
        keys.sort()
        hot = self._hot
        puts = [(key, self._encode(value)) for key in keys if (value := hot[key]) is not None]
        self._connection.execute("BEGIN")
        self._connection.executemany(self._replace, puts)
        self._connection.executemany(self._delete, [(key,) for key in keys if hot[key] is None])
        self._connection.execute("COMMIT")
        self._has_rows = True
        self._changed.difference_update(keys)


def sorted_items(mapping: MutableMapping[str, V], begin: str = "") -> Iterator[tuple[str, V]]:
    """Keys and values of any mapping of a shelf from `begin` on, in the order of the keys."""
    if isinstance(mapping, SpilledMapping):
        return mapping.sorted_items(begin)
    return iter(sorted((item for item in mapping.items() if item[0] >= begin), key=lambda item: item[0]))


def _itself(value: Any) -> Any:
    return value
