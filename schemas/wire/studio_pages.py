"""Document 004, studio, its pages for people: the surface, what addresses mean, and the page of an error. Pure.

Pages are of the same product and know the same cookie as the rest of the document, but tell what goes wrong as HTML,
and send who is not logged in to the login, which leads back. What a form of a generation shows is `studio_page_form`'s;
all other pages are templates. Pages and media count in no window; what forms change counts as the API's changes do.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Literal
from urllib.parse import urlencode

from msgspec.structs import replace
from pydantic import BaseModel, Field

from schemas.wire.studio import DASHBOARD_PATH, LOGIN_PATH, SIGN_IN, STUDIO
from schemas.wire.studio_errors import told
from schemas.wire.studio_form import FORM
from schemas.wire.surface import HOUR_S, HTML, MULTIPART, Described, Fault, Limit, WireAnswer, files_schema

LIBRARY_PATH, STATIC_PATH = "/library", "/static/pages"
PAGE_ASSETS = 24
URLENCODED = "application/x-www-form-urlencoded"
HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; img-src 'self' blob:; media-src 'self'; script-src 'self'; style-src 'self'",
    "referrer-policy": "same-origin",
}
"""Of every page. A user's files are never served as scripts or styles, so `'self'` means the files of `STATIC_PATH`."""

GOOGLE_HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "img-src 'self'; connect-src 'self' https://accounts.google.com/gsi/; frame-src https://accounts.google.com/gsi/; "
    "script-src 'self' https://accounts.google.com/gsi/client; style-src 'self' https://accounts.google.com/gsi/style",
    "cross-origin-opener-policy": "same-origin-allow-popups",
    "referrer-policy": "strict-origin-when-cross-origin",
}
"""Of the login page, where people can log in with Google: its button asks for these, and opens a window."""

_OWN_PAGE = re.compile(r"/(?:dashboard|library|(?:asset|generation)/[\w/]{1,80})(?:\?[\w=&%.-]{0,200})?", re.ASCII)
_AGAIN_S = 2


class LoginQuery(BaseModel):
    """Query of the login page."""

    next: str = Field("", max_length=500, description="The page of this site that was asked for.")


class DashboardQuery(BaseModel):
    """Query of the dashboard."""

    model: str = Field("", max_length=100, description="The model whose form is shown.")


class GenerateQuery(DashboardQuery):
    """Query of the form's address: what in an API is a header."""

    key: str = Field("", max_length=100, description="As `Idempotency-Key`: the form sent twice makes one generation.")


class LibraryQuery(BaseModel):
    """Query of the library."""

    type: Literal["all", "image", "video"] = Field("all", description="What is shown.")
    sort: Literal["newest", "oldest"] = Field("newest", description="What comes first.")
    page: int = Field(1, ge=1, le=100_000, description=f"Each has {PAGE_ASSETS}.")
    deleted: int = Field(0, ge=0, description="The number of what was just deleted.")
    deleting: int = Field(0, ge=0, description="The number of what will be deleted in a moment.")


def library_url(query: LibraryQuery, **changes: Any) -> str:
    """The library's address with these changes; what is as it is anyway is left out, and so is what was deleted."""
    values = {"type": query.type, "sort": query.sort, "page": query.page, **changes}
    usual = {"type": "all", "sort": "newest", "page": 1}
    told_ones = {name: value for name, value in values.items() if value != usual.get(name)}
    return f"{LIBRARY_PATH}?{urlencode(told_ones)}" if told_ones else LIBRARY_PATH


def safe_next(text: str) -> str:
    """Where the login leads: a page of this site, else the dashboard."""
    return text if _OWN_PAGE.fullmatch(text) else DASHBOARD_PATH


def login_url(place: str) -> str:
    """The login page that leads back to this path and query."""
    return f"{LOGIN_PATH}?{urlencode({'next': place})}" if safe_next(place) == place else LOGIN_PATH


def generation_url(request: str) -> str:
    """The page of a generation's progress."""
    return f"/generation/{request}"


def asset_url(number: int) -> str:
    """The page of an asset."""
    return f"/asset/{number}"


def fault(found: Fault) -> WireAnswer:
    """Whatever goes wrong, as a page; who is not logged in is led to the login."""
    status, message = told(found)
    if status == 401:
        return WireAnswer(status=303, media=HTML, headers=(("location", login_url(found.place)), *HEADERS.items()))
    again_s = max(_AGAIN_S, found.retry_after_s or 0) if status == 503 and found.place else None
    return error_page(status, message, again_s)


def error_page(status: int, message: str, again_s: int | None = None) -> WireAnswer:
    """A page that says what went wrong. With `again_s` the browser asks again after so many seconds."""
    title = _TITLES.get(status, _TITLES[400 if status < 500 else 500])
    sentence = message if message.endswith((".", "!", "?")) else f"{message}."
    refresh = "" if again_s is None else f'<meta http-equiv="refresh" content="{again_s}">'
    hint = "" if again_s is None else "<p>This page loads again by itself.</p>"
    text = _ERROR.format(status=status, title=escape(title), message=escape(sentence), refresh=refresh, hint=hint)
    return WireAnswer(status=status, text=text, media=HTML, headers=tuple(HEADERS.items()))


_TITLES: Mapping[int, str] = {
    400: "This address is not valid",
    403: "This is not allowed",
    404: "There is nothing here",
    405: "This is not possible here",
    409: "Something has changed",
    429: "One moment, please",
    500: "Something went wrong",
    502: "Something went wrong",
    503: "One moment, please",
}
_ERROR = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{{refresh}}
<title>{{title}} · Studio</title>
<link rel="icon" type="image/svg+xml" href="{STATIC_PATH}/icon.svg">
<link rel="stylesheet" href="{STATIC_PATH}/studio.css">
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top"><div class="wide"><a class="brand" href="{DASHBOARD_PATH}">Studio</a></div></header>
<main id="main" class="narrow" tabindex="-1">
<p class="code">{{status}}</p>
<h1>{{title}}</h1>
<p class="lead" role="status">{{message}}</p>
{{hint}}
<p class="actions"><a class="button" href="{DASHBOARD_PATH}">Create something</a>
<a class="button quiet" href="{LIBRARY_PATH}">Open the library</a></p>
</main>
</body>
</html>
"""

PAGES = replace(
    STUDIO,
    title="Document 004: studio, pages",
    summary="Pages for people: they work without JavaScript. Who is not logged in is led to the login.",
    prefixes=(LOGIN_PATH, DASHBOARD_PATH, LIBRARY_PATH, "/asset", "/generation", STATIC_PATH),
    fault=fault,
    error_model=None,
)
_CHANGES = (Limit("studio-requests", 100, HOUR_S),)
_ERRORS = (400, 403, 404, 500, 503)
_CHANGE_ERRORS = (*_ERRORS, 408, 409, 429)
_PAGE: Mapping[int, str] = {200: HTML, 303: ""}
_ASSET = {"asset_id": "The asset: an integer that counts in your account."}

LOGIN_PAGE = Described(
    name="studio-login-page",
    summary="The page to log in on",
    description="Leads on who is logged in already.",
    answers=_PAGE,
    errors=_ERRORS,
    query=LoginQuery,
)
LOGIN_FORM = Described(
    name="studio-login-form",
    summary="Log in by the page's form",
    description="Sets the cookie and leads to the page that was asked for.",
    answers={303: ""},
    errors=(*_CHANGE_ERRORS, 401, 502),
    body={
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("username", "password", "credential", "next")},
    },
    media=URLENCODED,
    limits=SIGN_IN.limits,
)
DASHBOARD = Described(
    name="studio-dashboard",
    summary="The page to create on: models and their forms, what is left today, what is made now",
    answers=_PAGE,
    errors=_ERRORS,
    query=DashboardQuery,
)
GENERATE_FORM = Described(
    name="studio-generate-form",
    summary="Generate by the page's form",
    description="Leads to the page of the generation. What is wrong is told beside the field.",
    answers={303: ""},
    errors=(*_CHANGE_ERRORS, 502),
    query=GenerateQuery,
    body=FORM,
    media=MULTIPART,
    limits=_CHANGES,
)
GENERATION = Described(
    name="studio-generation",
    summary="The page of a generation's progress, which leads to its result",
    answers=_PAGE,
    errors=(*_ERRORS, 409, 429),
    path={"request_id": "The `request_id` of a generation."},
)
LIBRARY = Described(
    name="studio-library", summary="The page of all results", answers=_PAGE, errors=_ERRORS, query=LibraryQuery
)
ASSET = Described(name="studio-asset", summary="The page of a result", answers=_PAGE, errors=_ERRORS, path=_ASSET)
DELETE_PAGE = Described(
    name="studio-delete-page",
    summary="The page that asks whether a result is to be deleted",
    answers=_PAGE,
    errors=_ERRORS,
    path=_ASSET,
)
DELETE_FORM = Described(
    name="studio-delete-form",
    summary="Delete a result by the page's form",
    answers={303: ""},
    errors=_CHANGE_ERRORS,
    body=files_schema(()),
    media=URLENCODED,
    path=_ASSET,
    limits=_CHANGES,
)
STATIC = Described(
    name="studio-static",
    summary="The pages' style, script and icon",
    answers={200: "*/*", 304: ""},
    errors=(400, 404, 500),
    path={"name": "The file."},
)
