"""Document 002, spike-land: its ids, and the requests that carry JSON. Pure.

`img_x` is the core's `asset_x`; jobs and albums have the core's own ids. A text that can be no id is told as one that
nobody knows, so bodies only bound its length.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, Field

IMAGES_MOVED_MAX = 100
ID_CHARS_MAX = 200
Tier = Literal["TIER_1K", "TIER_2K", "TIER_4K"]
_IMAGE_ID, _ALBUM_ID = re.compile("img_([a-z2-7]{26})"), re.compile("album_[a-z2-7]{26}")


def asset_of_image(image: str) -> str | None:
    """The core's id of an image; None for a text that can be none."""
    found = _IMAGE_ID.fullmatch(image)
    return None if found is None else f"asset_{found[1]}"


def image_of_asset(asset: str) -> str:
    """The document's id of an asset."""
    return "img_" + asset.partition("_")[2]


def is_album_id(text: str) -> bool:
    """Whether this can be the id of an album."""
    return _ALBUM_ID.fullmatch(text) is not None


def tiers_problem(tiers: Sequence[str]) -> str | None:
    """What is wrong with the number of tiers; None where nothing is."""
    if not 1 <= len(tiers) <= 3:
        return "Name 1 to 3 tiers."
    return "Name each tier once." if len(set(tiers)) < len(tiers) else None


_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]


class EnhanceBody(msgspec.Struct, frozen=True):
    """Body of enhance; the tier is checked by the catalogue."""

    imageId: _Id
    tier: str


class ParallelBody(msgspec.Struct, frozen=True):
    """Body of parallel-enhance."""

    imageId: _Id
    tiers: list[str]


class MoveBody(msgspec.Struct, frozen=True):
    """Body of move-to-album."""

    imageIds: Annotated[list[_Id], msgspec.Meta(min_length=1, max_length=IMAGES_MOVED_MAX)]
    targetAlbumId: _Id
    removeFromSourceAlbum: _Id | None = None


enhance_decoder = msgspec.json.Decoder(EnhanceBody)
parallel_decoder = msgspec.json.Decoder(ParallelBody)
move_decoder = msgspec.json.Decoder(MoveBody)


class EnhanceRequest(BaseModel):
    """Documents `EnhanceBody`; unknown members are ignored."""

    imageId: str = Field(min_length=1, max_length=ID_CHARS_MAX)
    tier: Tier


class ParallelRequest(BaseModel):
    """Documents `ParallelBody`."""

    imageId: str = Field(min_length=1, max_length=ID_CHARS_MAX)
    tiers: list[Tier] = Field(min_length=1, max_length=3, json_schema_extra={"uniqueItems": True})


class MoveRequest(BaseModel):
    """Documents `MoveBody`."""

    imageIds: list[Annotated[str, Field(min_length=1, max_length=ID_CHARS_MAX)]] = Field(
        min_length=1, max_length=IMAGES_MOVED_MAX
    )
    targetAlbumId: str = Field(min_length=1, max_length=ID_CHARS_MAX)
    removeFromSourceAlbum: Annotated[str, Field(min_length=1, max_length=ID_CHARS_MAX)] | None = None
