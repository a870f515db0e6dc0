"""Request shapes of pictures and albums: records that decode and check at once, and the models that document them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from infra.remote.fetch import URL_CHARS_MAX
from ingest.forms import FILE_NAME_CHARS_MAX
from ingest.pictures import FILE_BYTES_MAX
from ingest.uploads import ALBUM_CHARS_MAX

MOVED_MAX = 100
NAME_CHARS_MAX = 200

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ALBUM_CHARS_MAX)]
_FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=FILE_NAME_CHARS_MAX)]


class PresignRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/assets:presign; empty is fine."""

    bytes: Annotated[int, msgspec.Meta(ge=1, le=FILE_BYTES_MAX)] | None = None


class CompleteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/assets/{id}:complete; empty is fine."""

    file_name: _FileName | None = None
    album: _Id | None = None


class FetchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/assets:fetch."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=URL_CHARS_MAX)]
    file_name: _FileName | None = None
    album: _Id | None = None


class AlbumRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/albums."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]


class MoveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/albums/{id}:move."""

    assets: Annotated[list[_Id], msgspec.Meta(min_length=1, max_length=MOVED_MAX)]
    from_album: _Id | None = None


presign_decoder = msgspec.json.Decoder(PresignRequest)
complete_decoder = msgspec.json.Decoder(CompleteRequest)
fetch_decoder = msgspec.json.Decoder(FetchRequest)
album_decoder = msgspec.json.Decoder(AlbumRequest)
move_decoder = msgspec.json.Decoder(MoveRequest)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PresignRequestModel(_Document):
    """Documents `PresignRequest`."""

    bytes: int | None = Field(
        None, description="Size of the file; then the URL takes no other size.", ge=1, le=FILE_BYTES_MAX
    )


class CompleteRequestModel(_Document):
    """Documents `CompleteRequest`."""

    file_name: str | None = Field(
        None, description="Yours, for downloads; stored sealed.", min_length=1, max_length=FILE_NAME_CHARS_MAX
    )
    album: str | None = Field(None, description="Id of the album that the picture goes to.", max_length=ALBUM_CHARS_MAX)


class FetchRequestModel(CompleteRequestModel):
    """Documents `FetchRequest`."""

    url: str = Field(description="An http or https URL of a picture on a public server.", max_length=URL_CHARS_MAX)


class AlbumRequestModel(_Document):
    """Documents `AlbumRequest`."""

    name: str = Field(description="Yours; stored sealed.", min_length=1, max_length=NAME_CHARS_MAX)


class MoveRequestModel(_Document):
    """Documents `MoveRequest`."""

    assets: list[str] = Field(description="Ids of your pictures.", min_length=1, max_length=MOVED_MAX)
    from_album: str | None = Field(None, description="The album that they leave.", max_length=ALBUM_CHARS_MAX)


class PresignedModel(BaseModel):
    """Where a picture may be put, and what to call then."""

    id: str
    url: str
    method: Literal["PUT"]
    headers: dict[str, str] = Field(description="Send these with the PUT, exactly so.")
    bytes_max: int
    expires_at: str
    complete: str = Field(description="POST here when the picture is put.")


class DeletedAssetModel(BaseModel):
    """What a deletion did."""

    id: str
    status: Literal["deleted", "pending"]
    canceled: list[str] = Field(description="Jobs on the picture that were canceled with it.")
    balance: int | None
    position: str


class VisibilityModel(BaseModel):
    """Who may read a picture."""

    id: str
    public: bool
    status: Literal["done", "pending"]
    url: str = Field(description="Where everybody reads it while it is public.")
    position: str


class AlbumModel(BaseModel):
    """An album that was made."""

    id: str
    name: str
    position: str


class DeletedAlbumModel(BaseModel):
    """An album that was deleted."""

    id: str
    status: Literal["deleted", "pending"]
    position: str


class MovedModel(BaseModel):
    """What became of one picture."""

    asset: str
    success: bool
    error: str | None


class MovesModel(BaseModel):
    """What became of each picture, in the order of the request; null while it is not decided."""

    album: str
    moved: int | None
    failed: int | None
    results: list[MovedModel] | None
    position: str
