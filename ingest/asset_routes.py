"""The write paths of pictures and albums, one table."""

from infra.http.documents import AssetModel
from infra.http.routing import Answer, Body, Operation
from ingest import access, albums, assets, presign, remote
from ingest.asset_shapes import (
    AlbumModel,
    AlbumRequestModel,
    CompleteRequestModel,
    DeletedAlbumModel,
    DeletedAssetModel,
    FetchRequestModel,
    MoveRequestModel,
    MovesModel,
    PresignedModel,
    PresignRequestModel,
    VisibilityModel,
)
from ingest.shapes import KeyHeaders

POSITION = {"Darkroom-Position": "Where the decision stands; a read with it sees at least that far."}
_PICTURE_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP or HEIC."},
        "album": {"type": "string", "description": "Id of the album that the picture goes to.", "maxLength": 64},
    },
}
_ASSET = {"id": "The asset."}
_ALBUM = {"id": "The album."}
_PENDING = "The command is on the log, not decided yet."
_REGISTERED = {
    201: Answer(description="The picture is an asset of the account.", model=AssetModel, headers=POSITION),
    202: Answer(description="The asset is on the log, not decided yet.", model=AssetModel),
}

ROUTES: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/assets",
        handler=assets.upload_asset,
        name="upload-asset",
        audit="change",
        tag="Assets",
        summary="Upload a picture",
        description="JPEG, PNG, WebP or HEIC, up to 10 MiB and 64 megapixels. Usable when the answer comes.",
        limit="uploads",
        headers=KeyHeaders,
        body=Body(media="multipart/form-data", schema=_PICTURE_FORM),
        answers=_REGISTERED,
        problems=(404, 408, 413, 415, 422, 503),
    ),
    Operation(
        method="POST",
        path="/v1/assets:presign",
        handler=presign.presign_upload,
        name="presign-upload",
        audit="change",
        tag="Assets",
        summary="Get a URL to put a picture to",
        description="The picture goes to the object store by PUT, past this API, within 15 minutes; `complete` makes "
        "it an asset. Nothing is written by this call.",
        limit="uploads",
        body=Body(model=PresignRequestModel, example={"bytes": 123456}, required=False),
        answers={200: Answer(description="Where to put it.", model=PresignedModel)},
        problems=(413, 415),
    ),
    Operation(
        method="POST",
        path="/v1/assets/{id}:complete",
        handler=presign.complete_upload,
        name="complete-upload",
        audit="change",
        tag="Assets",
        summary="Make what was put an asset",
        description="Checks the picture as an upload is checked. A repeat gives the same answer. What is no picture, "
        "or too large, is removed.",
        limit="uploads",
        path_parameters={"id": "The id that /v1/assets:presign gave."},
        body=Body(model=CompleteRequestModel, example={"file_name": "a.jpg"}, required=False),
        answers=_REGISTERED,
        problems=(404, 408, 410, 413, 415, 503),
    ),
    Operation(
        method="POST",
        path="/v1/assets:fetch",
        handler=remote.fetch_asset,
        name="fetch-asset",
        audit="change",
        tag="Assets",
        summary="Take a picture from a URL",
        description="Public http and https servers only, at most 3 redirects, 10 MiB and 20 s. A URL of your own "
        "media here gives that asset.",
        limit="uploads",
        headers=KeyHeaders,
        body=Body(model=FetchRequestModel, example={"url": "https://example.com/a.jpg"}),
        answers={200: Answer(description="The URL is that of this asset.", model=AssetModel), **_REGISTERED},
        problems=(404, 413, 415, 422, 503),
    ),
    Operation(
        method="DELETE",
        path="/v1/assets/{id}",
        handler=access.delete_asset,
        name="delete-asset",
        audit="delete",
        tag="Assets",
        summary="Delete a picture",
        description="Access ends with the answer, for everybody; its bytes are removed soon after. Live jobs on it are "
        "canceled and their reservations given back.",
        path_parameters=_ASSET,
        headers=KeyHeaders,
        answers={
            200: Answer(description="The picture is deleted.", model=DeletedAssetModel, headers=POSITION),
            202: Answer(description=_PENDING, model=DeletedAssetModel),
        },
        problems=(404, 410, 422, 503),
    ),
    Operation(
        method="POST",
        path="/v1/assets/{id}:publish",
        handler=access.publish_asset,
        name="publish-asset",
        audit="change",
        tag="Assets",
        summary="Let everybody read a picture",
        description="`url` then works for everybody, also without a token; views by others are counted.",
        path_parameters=_ASSET,
        headers=KeyHeaders,
        answers={
            200: Answer(description="Everybody may read it.", model=VisibilityModel, headers=POSITION),
            202: Answer(description=_PENDING, model=VisibilityModel),
        },
        problems=(404, 410, 422, 503),
    ),
    Operation(
        method="POST",
        path="/v1/assets/{id}:unpublish",
        handler=access.unpublish_asset,
        name="unpublish-asset",
        audit="change",
        tag="Assets",
        summary="Keep a picture to yourself again",
        description="From the answer on, `url` is for its owner alone.",
        path_parameters=_ASSET,
        headers=KeyHeaders,
        answers={
            200: Answer(description="Its owner alone may read it.", model=VisibilityModel, headers=POSITION),
            202: Answer(description=_PENDING, model=VisibilityModel),
        },
        problems=(404, 410, 422, 503),
    ),
    Operation(
        method="POST",
        path="/v1/albums",
        handler=albums.create_album,
        name="create-album",
        audit="change",
        tag="Albums",
        summary="Make an album",
        description="A name for pictures that belong together; a picture may be in several.",
        headers=KeyHeaders,
        body=Body(model=AlbumRequestModel, example={"name": "Holidays"}),
        answers={
            201: Answer(description="The album can be used.", model=AlbumModel, headers=POSITION),
            202: Answer(description=_PENDING, model=AlbumModel),
        },
        problems=(409, 413, 415, 422, 503),
    ),
    Operation(
        method="DELETE",
        path="/v1/albums/{id}",
        handler=albums.delete_album,
        name="delete-album",
        audit="delete",
        tag="Albums",
        summary="Delete an album",
        description="Its pictures stay.",
        path_parameters=_ALBUM,
        headers=KeyHeaders,
        answers={
            200: Answer(description="The album is deleted.", model=DeletedAlbumModel, headers=POSITION),
            202: Answer(description=_PENDING, model=DeletedAlbumModel),
        },
        problems=(404, 422, 503),
    ),
    Operation(
        method="POST",
        path="/v1/albums/{id}:move",
        handler=albums.move_assets,
        name="move-assets",
        audit="change",
        tag="Albums",
        summary="Move pictures into an album",
        description="Up to 100, out of `from_album` where it is given. Each has its own result.",
        path_parameters=_ALBUM,
        headers=KeyHeaders,
        body=Body(model=MoveRequestModel, example={"assets": ["asset_…"]}),
        answers={
            200: Answer(description="What became of each.", model=MovesModel, headers=POSITION),
            202: Answer(description=_PENDING, model=MovesModel),
        },
        problems=(404, 413, 415, 422, 503),
    ),
)
