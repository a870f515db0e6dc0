"""The read models `assets` and `keys` as SQL."""

from collections.abc import Mapping

from projections import rows as r
from projections.statements import coalesced, populated

STATEMENTS: Mapping[type[r.Row], str] = {
    r.AssetChange: f"""
        UPDATE assets AS t SET position = u.position, {coalesced("gone", "gone_ms", "public", "changed_ms")},
            views = t.views + coalesce(u.views, 0)
        FROM json_populate_recordset(NULL::assets, %s::json) AS u
        WHERE t.account = u.account AND t.asset = u.asset""",
    r.AssetsErased: """
        UPDATE assets AS t SET gone = 'erased', gone_ms = u.gone_ms
        FROM json_to_recordset(%s::json) AS u(account text, through bigint, gone_ms bigint)
        WHERE t.account = u.account AND t.number <= u.through AND t.gone IS NULL""",
    r.AlbumChange: f"""
        INSERT INTO albums AS t {populated("albums")}
        ON CONFLICT (account, album) DO UPDATE SET position = excluded.position,
            {coalesced("version", "created_ms", "sealed", "gone_ms", source="excluded")}""",
    r.AlbumMember: f"""
        INSERT INTO album_assets AS t {populated("album_assets")}
        ON CONFLICT (account, album, asset) DO UPDATE SET present = excluded.present, since_ms = excluded.since_ms""",
    r.DataKey: """
        WITH changes AS (
            SELECT account, key_id, wrapped FROM json_to_recordset(%s::json)
                AS u(account text, key_id text, wrapped text)
        ), erased AS (
            DELETE FROM data_keys AS t USING changes AS u
            WHERE u.wrapped IS NULL AND t.account = u.account AND t.key_id = u.key_id
        )
        INSERT INTO data_keys SELECT account, key_id, decode(wrapped, 'base64') FROM changes WHERE wrapped IS NOT NULL
        ON CONFLICT (account, key_id) DO UPDATE SET wrapped = excluded.wrapped""",
}

_ASSET = (
    *("text", "text", "int8", "int8", "text", "int8", "text", "text", "int4", "int4", "int8", "text", "int8", "text"),
    *("text", "text", "int8", "text", "int8", "bool", "int8", "int8"),
)

COPIES: Mapping[type[r.Row], tuple[str, tuple[str, ...]]] = {r.NewAsset: ("assets", _ASSET)}
