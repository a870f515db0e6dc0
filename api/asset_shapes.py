"""Shapes of reads about assets and albums."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api.shapes import AFTER, BEFORE, CURSOR, LIMIT, SORT, Moment, Query, Sort, Text
from infra.http.documents import AssetModel


class AssetsQuery(Query):
    """Parameters of GET /v1/assets."""

    kind: Literal["input", "result"] | None = Field(None, description="Uploads, or what jobs made.")
    media: Literal["image", "video"] | None = Field(None, description="Pictures or videos.")
    album: Text | None = Field(None, description="What is in one album.")
    format: Text | None = Field(None, description="jpeg, png, webp, mp4 and so on.")
    public: bool | None = Field(None, description="Whether everybody may read it.")
    created_after: Moment | None = AFTER
    created_before: Moment | None = BEFORE
    sort: Sort = SORT
    limit: int = LIMIT
    cursor: str | None = CURSOR


class AlbumsQuery(Query):
    """Parameters of GET /v1/albums."""

    sort: Sort = SORT
    limit: int = LIMIT
    cursor: str | None = CURSOR


class AssetDetailModel(AssetModel):
    """A picture or video of the account, with what is known of it."""

    number: int = Field(description="Counted in the account; with it the asset stands in its lists.")
    kind: Literal["input", "result"]
    file_name: str | None
    job: str | None = Field(description="The job that made it; null for an upload.")
    sha256: str
    duration_ms: int = Field(description="Of a video; 0 for a picture.")
    thumbnail_url: str | None = Field(description="A still picture of a video.")
    public: bool
    views: int = Field(description="Times that others have read it.")
    albums: list[str]
    created_at: str
    updated_at: str
    expires_at: str | None = Field(description="When the plan ends it; null: not before it is deleted.")
    signed_url: str = Field(description="Works without a token for 15 minutes.")


class AssetPage(BaseModel):
    """A page of assets."""

    data: list[AssetDetailModel]
    next_cursor: str | None


class AlbumDetailModel(BaseModel):
    """An album."""

    id: str
    name: str | None = Field(description="Null where none was given or the account was erased.")
    assets: int
    created_at: str
    position: str


class AlbumPage(BaseModel):
    """A page of albums."""

    data: list[AlbumDetailModel]
    next_cursor: str | None
