"""Commands about assets, albums and the bytes behind them. `schemas.commands` names them all."""

from schemas.command_base import Command, StoredObject


class RegisterAsset(Command, frozen=True, omit_defaults=True, tag="register-asset"):
    """Make stored bytes an asset of the account, in `album` where one is named; `sealed` holds the file name."""

    asset: str
    object: StoredObject
    sealed: str | None = None
    album: str | None = None


class DeleteAsset(Command, frozen=True, omit_defaults=True, tag="delete-asset"):
    """End access to the asset now and purge its bytes; live jobs among `cancel_jobs` are canceled first.

    With `results` those among them that have ended lose their results in the same way.
    """

    asset: str
    cancel_jobs: tuple[str, ...] = ()
    results: bool = False


class SetVisibility(Command, frozen=True, tag="set-visibility"):
    """Let others read the asset, or no longer."""

    asset: str
    public: bool


class CreateAlbum(Command, frozen=True, omit_defaults=True, tag="create-album"):
    """Make an empty album; `sealed` holds its name."""

    album: str
    sealed: str | None = None


class DeleteAlbum(Command, frozen=True, tag="delete-album"):
    """End the album; its assets stay."""

    album: str


class MoveAssets(Command, frozen=True, omit_defaults=True, tag="move-assets"):
    """Put assets into an album, and out of `from_album` where one is named."""

    album: str
    assets: tuple[str, ...]
    from_album: str | None = None


class RecordViews(Command, frozen=True, tag="record-views"):
    """Others have read public assets of the account: (asset, times), counted by a gateway."""

    views: tuple[tuple[str, int], ...]


class RecordPurge(Command, frozen=True, tag="record-purge"):
    """The bytes of a purge are gone from the object store."""

    purge: str


class EraseAccount(Command, frozen=True, tag="erase-account"):
    """End access to everything the account has stored and purge its bytes; its totals stay (operators)."""
