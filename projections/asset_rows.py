"""Row changes of the read models `assets` and `keys`. See `projections.rows` for what a change is."""

from projections.row_base import Row


class NewAsset(Row, frozen=True, kw_only=True):
    """An upload (`job` None) or a result, as it stands after this batch. `thumbnail` is a `StoredObject` as JSON.

    `gone` is the word of why access has ended, None while it has not.
    """

    account: str
    asset: str
    number: int
    version: int
    key: str
    bytes: int
    sha256: str
    format: str
    width: int
    height: int
    created_ms: int
    position: str
    duration_ms: int = 0
    sealed: str | None = None
    job: str | None = None
    thumbnail: str | None = None
    expires_ms: int | None = None
    gone: str | None = None
    gone_ms: int | None = None
    public: bool = False
    views: int = 0
    changed_ms: int | None = None


class AssetChange(Row, frozen=True, omit_defaults=True, kw_only=True):
    """New values of an asset made earlier; None leaves the column, `views` are added."""

    account: str
    asset: str
    position: str
    gone: str | None = None
    gone_ms: int | None = None
    public: bool | None = None
    views: int = 0
    changed_ms: int | None = None


class AssetsErased(Row, frozen=True, kw_only=True):
    """Every asset up to number `through` of the account is gone."""

    account: str
    through: int
    gone_ms: int


class AlbumChange(Row, frozen=True, omit_defaults=True, kw_only=True):
    """An album that began (`version` is there) or ended (`gone_ms`)."""

    account: str
    album: str
    position: str
    version: int | None = None
    created_ms: int | None = None
    sealed: str | None = None
    gone_ms: int | None = None


class AlbumMember(Row, frozen=True, kw_only=True):
    """Whether the asset is in the album, since `since_ms`."""

    account: str
    album: str
    asset: str
    present: bool
    since_ms: int


class DataKey(Row, frozen=True, kw_only=True):
    """A wrapped data key (base64) of an account; None: it was erased."""

    account: str
    key_id: str
    wrapped: str | None = None
