"""SQL about assets and albums. Assets stand in the order of their numbers, which is that of their making."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from api.reading import NEWEST, OLDEST, QueryBase, last_within
from schemas.commands import StoredObject

_COLUMNS = (
    "asset, number, key, bytes, sha256, format, width, height, duration_ms, sealed, job, created_ms, position, gone, "
    "public, views, expires_ms, thumbnail, changed_ms"
)
_ALBUMS_OF = """(
    SELECT array_agg(m.album ORDER BY m.album) FROM album_assets m JOIN albums b USING (account, album)
    WHERE m.account = a.account AND m.asset = a.asset AND m.present AND b.gone_ms IS NULL
) AS albums"""
_ASSET = f"SELECT {_COLUMNS}, {_ALBUMS_OF} FROM assets a WHERE account = $1 AND asset = $2"
_BY_NUMBER = f"SELECT {_COLUMNS}, {_ALBUMS_OF} FROM assets a WHERE account = $1 AND number = $2"
_NAMED = f"SELECT {_COLUMNS}, {_ALBUMS_OF} FROM assets a WHERE account = $1 AND asset = ANY($2::text[])"
_RESULTS = "account = $1 AND gone IS NULL AND job IS NOT NULL"
_MEDIA = {None: "", "image": " AND duration_ms = 0", "video": " AND duration_ms > 0"}
_PUBLIC = """
SELECT a.account, (SELECT c.product FROM accounts c WHERE c.account = a.account) AS product
FROM assets a WHERE a.asset = $1 AND a.public AND a.gone IS NULL
"""
_AT = last_within("assets", "r.created_ms", "number")
_LAST_NUMBER = "SELECT number FROM assets WHERE account = $1 ORDER BY number DESC LIMIT 1"
_ALBUM_COLUMNS = """
    b.album, b.sealed, b.created_ms, b.version, b.position, (
        SELECT count(*) FROM album_assets m JOIN assets a USING (account, asset)
        WHERE m.account = b.account AND m.album = b.album AND m.present AND a.gone IS NULL
    ) AS assets"""
_ALBUM = f"SELECT {_ALBUM_COLUMNS} FROM albums b WHERE b.account = $1 AND b.album = $2 AND b.gone_ms IS NULL"
_ALBUMS = (
    f"SELECT {_ALBUM_COLUMNS}, (SELECT c.version FROM accounts c WHERE c.account = $1) AS pin FROM albums b "
    "WHERE b.account = $1 AND b.gone_ms IS NULL AND b.version <= $2 AND b.version {after} $3 "
    "ORDER BY b.version {order} LIMIT $4"
)


class AssetRow(msgspec.Struct, frozen=True, kw_only=True):
    """An asset as it stands; `sealed` holds the file name, `gone` the word of why access has ended."""

    asset: str
    number: int
    stored: StoredObject
    sealed: str | None
    job: str | None
    created_ms: int
    position: str
    gone: str | None
    public: bool
    views: int = 0
    expires_ms: int | None = None
    thumbnail: StoredObject | None = None
    changed_ms: int | None = None
    albums: tuple[str, ...] = ()


class AssetFilters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of assets is narrowed to; None narrows nothing. Times in ms, bounds not included."""

    kind: str | None = None
    album: str | None = None
    format: str | None = None
    media: str | None = None
    public: bool | None = None
    created_after_ms: int | None = None
    created_before_ms: int | None = None


def assets_statement(filters: AssetFilters, newest_first: bool) -> tuple[str, list[Any]]:
    """The SQL of a page and its arguments after account, pin, after, low, high and limit."""
    words = NEWEST if newest_first else OLDEST
    arguments: list[Any] = []

    def given(value: Any) -> str:
        arguments.append(value)
        return f"${6 + len(arguments)}"

    bounds = f"number <= least($2::bigint, $5::bigint) AND number > $4 AND number {words['after']} $3"
    where = [f"account = $1 AND gone IS NULL AND {bounds}"]
    if filters.format is not None:
        where.append(f"format = {given(filters.format)}")
    if filters.media is not None:
        where.append("duration_ms > 0" if filters.media == "video" else "duration_ms = 0")
    if filters.public is not None:
        where.append(f"public = {given(filters.public)}")
    if filters.album is not None:
        members = f"SELECT asset FROM album_assets WHERE account = $1 AND album = {given(filters.album)} AND present"
        where.append(f"asset IN ({members})")
    kinds = [kind for kind in ("input", "result") if filters.kind in (None, kind)]
    page = f"ORDER BY number {words['order']} LIMIT $6"
    parts = " UNION ALL ".join(
        f"(SELECT account, {_COLUMNS} FROM assets WHERE {' AND '.join([*where, _kind(kind)])} {page})" for kind in kinds
    )
    return f"SELECT {_COLUMNS}, {_ALBUMS_OF} FROM ({parts}) AS a {page}", arguments


def results_statement(media: str | None, newest_first: bool) -> str:
    """The SQL of a page of results by offset; its arguments are account, offset and limit."""
    order = f"ORDER BY number {(NEWEST if newest_first else OLDEST)['order']}"
    page = f"SELECT number FROM assets WHERE {_RESULTS}{_MEDIA[media]} {order} OFFSET $2 LIMIT $3"
    return f"SELECT {_COLUMNS}, {_ALBUMS_OF} FROM assets a WHERE account = $1 AND number IN ({page}) {order}"


def results_total_statement(media: str | None) -> str:
    """The SQL of how many results there are; its argument is the account."""
    return f"SELECT count(*) FROM assets WHERE {_RESULTS}{_MEDIA[media]}"


def _kind(kind: str) -> str:
    return "job IS NULL" if kind == "input" else "job IS NOT NULL"


class AssetQueries(QueryBase):
    """Reads of assets and albums."""

    async def asset(self, account: str, asset: str) -> AssetRow | None:
        """The asset's row, also of one that is gone."""
        row = await self._row(_ASSET, account, asset)
        return None if row is None else _asset(row)

    async def numbered_asset(self, account: str, number: int) -> AssetRow | None:
        """The asset with this number in its account."""
        row = await self._row(_BY_NUMBER, account, number)
        return None if row is None else _asset(row)

    async def assets_named(self, account: str, assets: Sequence[str]) -> dict[str, AssetRow]:
        """Those of the assets that are the account's, by id; of those that are gone what they were, as their size."""
        found = map(_asset, await self._rows(_NAMED, account, list(assets)))
        return {row.asset: row for row in found}

    async def results_page(
        self, account: str, media: str | None, *, newest_first: bool, offset: int, limit: int
    ) -> list[AssetRow]:
        """At most `limit` live results after `offset` others; `media`: image, video, or None for both."""
        rows = await self._rows(results_statement(media, newest_first), account, offset, limit)
        return [_asset(row) for row in rows]

    async def results_total(self, account: str, media: str | None) -> int:
        """How many live results there are of the kind."""
        return await self._number(results_total_statement(media), account)

    async def assets(
        self, account: str, filters: AssetFilters, *, newest_first: bool, pin: int, after: int, limit: int
    ) -> list[AssetRow]:
        """Live assets up to number `pin` beyond number `after`, in order."""
        after_ms, before_ms = filters.created_after_ms, filters.created_before_ms
        low = 0 if after_ms is None else await self._number(_AT, account, after_ms)
        high = pin if before_ms is None else await self._number(_AT, account, before_ms - 1)
        statement, arguments = assets_statement(filters, newest_first)
        rows = await self._rows(statement, account, pin, after, low, high, limit, *arguments)
        return [_asset(row) for row in rows]

    async def last_number(self, account: str) -> int:
        """The number of the account's newest asset, 0 for none."""
        return await self._number(_LAST_NUMBER, account)

    async def public_owner(self, asset: str) -> tuple[str, str] | None:
        """(account, product) of whose public asset this is; None for one that is private, gone or not there."""
        row = await self._row(_PUBLIC, asset)
        return None if row is None else (row["account"], row["product"])

    async def album(self, account: str, album: str) -> asyncpg.Record | None:
        """The live album and how many live assets are in it."""
        return await self._row(_ALBUM, account, album)

    async def albums(self, account: str, *, newest_first: bool, pin: int, after: int, limit: int) -> list[Any]:
        """Live albums up to version `pin` beyond version `after`, in order."""
        words = NEWEST if newest_first else OLDEST
        return await self._rows(_ALBUMS.format(**words), account, pin, after, limit)


def _asset(row: asyncpg.Record) -> AssetRow:
    thumbnail = row["thumbnail"]
    return AssetRow(
        asset=row["asset"],
        number=row["number"],
        stored=StoredObject(*row[2:9]),
        sealed=row["sealed"],
        job=row["job"],
        created_ms=row["created_ms"],
        position=row["position"],
        gone=row["gone"],
        public=row["public"],
        views=row["views"],
        expires_ms=row["expires_ms"],
        thumbnail=None if thumbnail is None else msgspec.json.decode(thumbnail, type=StoredObject),
        changed_ms=row["changed_ms"],
        albums=tuple(row["albums"] or ()),
    )
