"""Read paths of assets, albums and bytes."""

from api import assets, media
from api.asset_shapes import AlbumDetailModel, AlbumPage, AlbumsQuery, AssetDetailModel, AssetPage, AssetsQuery
from api.shapes import MediaHeaders, PositionHeaders, SignedQuery
from infra.http.routing import Answer, Operation

_BINARY = {"type": "string"}
_VIDEO = {"video/mp4": _BINARY}
_PICTURE = {
    200: Answer(description="The bytes.", media="image/*", headers=media.HEADERS, also=_VIDEO),
    206: Answer(description="The range asked for.", media="image/*", headers=media.HEADERS, also=_VIDEO),
    304: Answer(description="The bytes are those of the ETag given.", media=""),
}
_PICTURE_PROBLEMS = (404, 410, 416, 503)
_BYTES_TEXT = "Owner only. One range a request, strong ETag, HEAD without a body."

ASSET_ROUTES: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/assets",
        handler=assets.list_assets,
        name="list-assets",
        audit="read",
        tag="Assets",
        summary="List assets",
        description="Uploads and results that are not gone. Pages leave out what was made after the first one.",
        query=AssetsQuery,
        headers=PositionHeaders,
        answers={200: Answer(description="A page.", model=AssetPage)},
        problems=(503,),
    ),
    Operation(
        method="GET",
        path="/v1/albums",
        handler=assets.list_albums,
        name="list-albums",
        audit="read",
        tag="Albums",
        summary="List albums",
        description="Names and how many pictures each has; `sort` is by time.",
        query=AlbumsQuery,
        headers=PositionHeaders,
        answers={200: Answer(description="A page.", model=AlbumPage)},
        problems=(503,),
    ),
    Operation(
        method="GET",
        path="/v1/albums/{id}",
        handler=assets.get_album,
        name="get-album",
        audit="read",
        tag="Albums",
        summary="Get an album",
        description="`GET /v1/assets?album=` lists what is in it.",
        path_parameters={"id": "The album."},
        headers=PositionHeaders,
        answers={200: Answer(description="The album.", model=AlbumDetailModel)},
        problems=(404, 503),
    ),
    Operation(
        method="GET",
        path="/v1/media/{id}/thumbnail",
        handler=media.get_thumbnail,
        name="get-thumbnail",
        audit="read",
        tag="Assets",
        summary="Get the still picture of a video",
        description="One's own with a token, of a public video also without.",
        access="optional",
        path_parameters={"id": "The asset."},
        headers=MediaHeaders,
        answers=_PICTURE,
        problems=_PICTURE_PROBLEMS,
    ),
    Operation(
        method="GET",
        path="/v1/assets/{id}",
        handler=media.get_asset,
        name="get-asset",
        audit="read",
        tag="Assets",
        summary="Get a picture",
        description=f"{_BYTES_TEXT} `Accept: application/json` gives what is known of it instead, with a link that "
        "works without a token for a while.",
        path_parameters={"id": "The asset."},
        headers=MediaHeaders,
        answers={
            **_PICTURE,
            200: Answer(
                description="The bytes, or the document.",
                model=AssetDetailModel,
                headers=media.HEADERS,
                also={"image/*": _BINARY, **_VIDEO},
            ),
        },
        problems=_PICTURE_PROBLEMS,
    ),
    Operation(
        method="GET",
        path="/v1/media/{id}",
        handler=media.get_media,
        name="get-media",
        audit="read",
        tag="Assets",
        summary="Get the bytes of a picture",
        description="One's own with a token, a public one also without. One range a request, strong ETag, HEAD without "
        "a body. Reading somebody else's public picture is counted as a view of it.",
        access="optional",
        path_parameters={"id": "The asset."},
        headers=MediaHeaders,
        answers=_PICTURE,
        problems=_PICTURE_PROBLEMS,
    ),
    Operation(
        method="GET",
        path="/v1/media/{account}/{id}",
        handler=media.get_signed_media,
        name="get-signed-media",
        audit="read",
        tag="Assets",
        summary="Get the bytes of a picture by a signed link",
        description="`signed_url` of an asset. Works without a token until it expires.",
        access="public",
        limit="",
        path_parameters={"account": "The account.", "id": "The asset."},
        query=SignedQuery,
        headers=MediaHeaders,
        answers=_PICTURE,
        problems=(403, *_PICTURE_PROBLEMS),
    ),
)
