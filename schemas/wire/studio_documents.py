"""Document 004, studio: what its answers hold and what its requests bring. Pure.

Models are exactly true: no member is missing, none is beyond them.
"""

from typing import Literal

import msgspec
from pydantic import BaseModel, Field, RootModel

from schemas.wire.studio_errors import Exact
from schemas.wire.studio_paths import MediaKind


class LoginRequest(msgspec.Struct, frozen=True):
    """Body of the login: Google's ID token, else user and password; what has no name here is ignored."""

    credential: str | None = None
    username: str | None = None
    password: str | None = None


class LoginAnswer(Exact):
    """Logged in: the session is in the cookie."""

    success: Literal[True]
    redirect_url: Literal["/dashboard"]


class Result(Exact):
    """A picture or a video. `id` counts in one's own account; of a picture there is no thumbnail."""

    url: str
    id: int
    type: MediaKind
    thumbnail_url: str | None


class GenerateAnswer(Exact):
    """The results are there."""

    results: list[Result]
    request_id: str


class PendingAnswer(Exact):
    """The generation goes on; GET /api/generation-status/{request_id} tells its end."""

    status: Literal["pending"]
    request_id: str


class Completed(Exact):
    """The generation has ended well; what was deleted since is left out."""

    status: Literal["completed"]
    results: list[Result]


class StillPending(Exact):
    """The generation goes on."""

    status: Literal["pending"]


class StatusAnswer(RootModel[Completed | StillPending]):
    """How a generation stands."""


class DeletedAnswer(Exact):
    """Access has ended; 202 while that is not decided yet."""

    success: Literal[True]
    message: Literal["Asset deleted successfully", "Asset is being deleted"]


class ModelTexts(Exact):
    """What a model is and does."""

    what_is: str
    use_cases: str
    tips: str


class ModelInfoAnswer(Exact):
    """A model."""

    name: str
    info: ModelTexts


class DeleteImageRequest(msgspec.Struct, frozen=True):
    """Body of delete-image."""

    url: str


class DeleteImageBody(BaseModel):
    """Documents `DeleteImageRequest`."""

    url: str = Field(description="The `url` of one of your results, as an answer has shown it.")


class SuccessAnswer(Exact):
    """It is done; 202 while that is not decided yet."""

    success: Literal[True]


class ClearedAnswer(Exact):
    """This browser follows no generation any more; the generation itself goes on."""

    success: Literal[True]
    message: Literal["Generation state cleared successfully"]


class KeyHeaders(BaseModel):
    """Headers of changes."""

    key: str = Field("", alias="Idempotency-Key", description="A repeat under the key gives the same answer.")


class GenerateHeaders(KeyHeaders):
    """Headers of a generation."""

    prefer: str = Field("", alias="Prefer", description="`wait=N` waits N s, `respond-async` not at all; else 30 s.")
