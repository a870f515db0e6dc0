"""Document 004, studio: its surfaces, answers, form and operations. Pure.

Beside it: `studio_paths` has ids and media paths, `studio_form` the form of a generation, `studio_documents` answers,
`studio_errors` all that can go wrong. One product has three surfaces, because errors have three shapes: `STUDIO`,
`CHANGES` where an answer says `success`, and `LOGIN`. All know a caller by the cookie `session` or a bearer token.
Pages (`/login`, `/dashboard`, `/library`, `/asset/{id}`) have a surface of their own elsewhere.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from schemas.wire import studio_documents as shown
from schemas.wire.studio_errors import (
    ChangeErrorAnswer,
    ErrorAnswer,
    LoginErrorAnswer,
    change_fault,
    fault,
    login_fault,
)
from schemas.wire.studio_form import FORM
from schemas.wire.studio_form import PRODUCT as PRODUCT
from schemas.wire.studio_paths import media_kind, media_url, thumbnail_url
from schemas.wire.surface import HOUR_S, MINUTE_S, MULTIPART, Described, Limit, Surface

SESSION_COOKIE = "session"
GENERATION_COOKIE = "studio_generation"
"""Request id of the generation that this browser follows: set by a pending answer, forgotten at its end."""
GENERATION_COOKIE_S = 86_400
LOGIN_PATH, DASHBOARD_PATH = "/login", "/dashboard"
DELETED = "Asset deleted successfully"
DELETING = "Asset is being deleted"
CLEARED = "Generation state cleared successfully"


def result_document(number: int, form: str, *, has_thumbnail: bool) -> dict[str, Any]:
    """The document of `Result`, for an asset's number and the format of its bytes."""
    return {
        "url": media_url(number, form),
        "id": number,
        "type": media_kind(form),
        "thumbnail_url": thumbnail_url(number) if has_thumbnail else None,
    }


STUDIO = Surface(
    product=PRODUCT,
    title="Document 004: studio",
    summary="Pictures and videos from prompts and pictures, for people who log in.",
    prefixes=(
        "/auth/logout",
        "/api/generate",
        "/api/model-info",
        "/api/generation-status",
        "/static/generated",
        "/video",
    ),
    fault=fault,
    error_model=ErrorAnswer,
    cookie=SESSION_COOKIE,
    csrf="same-origin",
)
CHANGES = replace(
    STUDIO,
    title="Document 004: studio, deletion",
    summary="Results deleted, and what a browser follows forgotten.",
    prefixes=("/api/assets", "/api/delete-image", "/api/clear-generation-state"),
    fault=change_fault,
    error_model=ChangeErrorAnswer,
)
LOGIN = replace(
    STUDIO,
    title="Document 004: studio, login",
    summary="A session for a user of Google, or for the administrator.",
    prefixes=("/auth",),
    fault=login_fault,
    error_model=LoginErrorAnswer,
)

LOGIN_BODY: Mapping[str, Any] = {
    "anyOf": [
        {"type": "object", "properties": {"credential": {"type": "string"}}, "required": ["credential"]},
        {
            "type": "object",
            "properties": {"username": {"type": "string"}, "password": {"type": "string"}},
            "required": ["username", "password"],
        },
    ]
}
_REQUESTS = (Limit("studio-requests", 100, HOUR_S),)
_ERRORS = (400, 401, 429, 500, 503)
_CHANGE_ERRORS = (*_ERRORS, 403, 409)
_MEDIA_ERRORS = (400, 401, 404, 416, 500, 503)
_ASSET = {"asset_id": "The asset: an integer that counts in your account."}
_OWN = "Your own alone. One range a request, strong ETag. Counts in no window."

SIGN_IN = Described(
    name="studio-login",
    summary="Log in",
    description="With Google's ID token, or as the administrator. The cookie `session` ends after 24 h without use.",
    answers={200: shown.LoginAnswer},
    errors=(400, 401, 403, 429, 500, 502, 503),
    body=LOGIN_BODY,
    example={"username": "admin", "password": "…"},  # nosec B105 # an example of a form
    limits=(Limit("studio-login", 10, MINUTE_S, "address"),),
)
SIGN_OUT = Described(
    name="studio-logout",
    summary="Log out",
    description="Ends the session and redirects to the login page. A link on another site's page only redirects.",
    answers={302: ""},
    errors=(400, 500, 503),
)
GENERATE = Described(
    name="studio-generate",
    summary="Generate an image or a video",
    description="flux and recraft want a prompt; stable_diffusion too, and takes an image; stable_video wants an image "
    "and takes a prompt; flux_pro wants prompt, image and mask. What a model does not take is ignored. Other "
    "parameters of the model's catalogue entry may be sent as fields; a `seed` repeats a result.",
    answers={200: shown.GenerateAnswer, 202: shown.PendingAnswer},
    errors=(*_CHANGE_ERRORS, 408, 502),
    body=FORM,
    media=MULTIPART,
    headers=shown.GenerateHeaders,
    limits=_REQUESTS,
)
STATUS = Described(
    name="studio-generation-status",
    summary="How a generation stands",
    answers={200: shown.StatusAnswer},
    errors=(*_CHANGE_ERRORS, 404, 502),
    path={"request_id": "The `request_id` of a generation."},
    limits=_REQUESTS,
)
MODEL_INFO = Described(
    name="studio-model-info",
    summary="What a model is, and what it is good for",
    answers={200: shown.ModelInfoAnswer},
    errors=(*_ERRORS, 404),
    path={"model_id": "The model."},
    limits=_REQUESTS,
)
DELETE_ASSET = Described(
    name="studio-delete-asset",
    summary="Delete an asset",
    answers={200: shown.DeletedAnswer, 202: shown.DeletedAnswer},
    errors=(*_CHANGE_ERRORS, 404),
    headers=shown.KeyHeaders,
    path=_ASSET,
    limits=_REQUESTS,
)
DELETE_IMAGE = Described(
    name="studio-delete-image",
    summary="Delete an asset by its URL",
    description="Takes the `url` of results, exactly as answers show it.",
    answers={200: shown.SuccessAnswer, 202: shown.SuccessAnswer},
    errors=(*_CHANGE_ERRORS, 404),
    body=shown.DeleteImageBody,
    example={"url": "/static/generated/img_123.png"},
    headers=shown.KeyHeaders,
    limits=_REQUESTS,
)
CLEAR = Described(
    name="studio-clear-generation-state",
    summary="Forget which generation this browser follows",
    description=f"Takes the cookie `{GENERATION_COOKIE}` away. Nothing is canceled; request ids stay good.",
    answers={200: shown.ClearedAnswer},
    errors=(*_ERRORS, 403),
    limits=_REQUESTS,
)
DOWNLOAD = Described(
    name="studio-download",
    summary="Download an asset",
    description=_OWN,
    answers={200: "*/*", 206: "*/*", 304: ""},
    errors=_MEDIA_ERRORS,
    path=_ASSET,
)
IMAGE = replace(
    DOWNLOAD,
    name="studio-image",
    summary="The bytes of an image",
    answers={200: "image/*", 206: "image/*", 304: ""},
    path={"name": "`img_<number>.<extension>`."},
)
VIDEO = replace(
    DOWNLOAD,
    name="studio-video",
    summary="The bytes of a video",
    answers={200: "video/*", 206: "video/*", 304: ""},
    path={"key": "The video's short key."},
)
THUMBNAIL = replace(
    DOWNLOAD,
    name="studio-thumbnail",
    summary="The still picture of a video",
    answers={200: "image/jpeg", 206: "image/jpeg", 304: ""},
    path={"name": "`video_<number>_thumb.jpg`."},
)
