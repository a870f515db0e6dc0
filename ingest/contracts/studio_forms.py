"""Document 004, studio, its forms: what a browser without a script posts. Each leads on by 303, or is shown again.

A form does what the API does, by the same functions. A generation's form names its idempotency key in its address,
because a form cannot send headers: sent twice it makes one generation. Where it is refused, the page says why beside
the field and keeps the texts; browsers alone can keep files, and do not.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from infra.http.auth import caller_of, caller_or_nobody
from infra.http.headers import give_header, headers_of
from infra.http.login import Logins
from infra.http.problems import Problem, WireProblem, bad_field
from infra.http.requests import query_of, whole_body
from infra.http.routing import port_of
from infra.http.templates import page
from infra.http.wording import fault_of
from ingest.contracts.studio import deleted, submitted
from ingest.contracts.studio_login import signed_in
from ingest.forms import texts_so_far
from ingest.idempotency import outcome_unknown
from ingest.intake import Intake, caller_as_who
from ingest.shapes import Preference
from schemas.refusals import IdempotencyMismatch
from schemas.wire import studio_pages as wire
from schemas.wire.studio_documents import LoginRequest
from schemas.wire.studio_errors import ASSET_NOT_FOUND, told
from schemas.wire.studio_form import form_texts
from schemas.wire.studio_page_form import Form, Wrong, model_form, wrong_of
from schemas.wire.studio_paths import number_of, request_id

_DECISION = Preference(0, True, None)
_BODY_BYTES_MAX = 32 << 10
_FIELDS_MAX = 16
_SENT_BEFORE = "This form was sent before with other content. Look at it once more and send it again"
_UNKNOWN = "It is not known whether this was accepted. Send it again: it is not made twice"
_NO_STORE = {"cache-control": "no-store"}


async def login_page(request: Request) -> Response:
    """GET /login; who is logged in already is led on."""
    query = query_of(request, wire.LoginQuery)
    if caller_or_nobody(request) is not None:
        return _led_to(wire.safe_next(query.next))
    return _login_page(request, query.next)


async def login(request: Request) -> Response:
    """POST /login: 303 with the session's cookie, or the page again with a message."""
    fields = await _fields(request)
    following = wire.safe_next(fields.get("next", ""))
    asked = LoginRequest(fields.get("credential"), fields.get("username"), fields.get("password"))
    refused = await signed_in(request, asked)
    if refused is None:
        return _led_to(following)
    message = (refused.document or {})["message"]
    response = _login_page(request, following, refused.status, message, fields.get("username", ""))
    response.headers.update(dict(refused.headers))
    return response


def _login_page(request: Request, following: str, status: int = 200, error: str = "", username: str = "") -> Response:
    logins = port_of(request, Logins)
    client_id = "" if logins.google is None else logins.google.client_id
    return page(
        "login.html",
        wire.STATIC_PATH,
        {**wire.HEADERS, **wire.GOOGLE_HEADERS} if client_id else wire.HEADERS,
        status,
        next=wire.safe_next(following),
        error=error,
        username=username[:200],
        client_id=client_id,
        is_local=logins.deployment == "local",
    )


async def generate(request: Request) -> Response:
    """POST /dashboard: 303 to the generation's page, or the form again with what is wrong."""
    intake, who, query = (
        port_of(request, Intake),
        caller_as_who(caller_of(request)),
        query_of(request, wire.GenerateQuery),
    )
    if query.key:
        give_header(request.scope, b"idempotency-key", query.key.encode("latin-1", "replace"))
    try:
        standing = await submitted(intake, request, who, _DECISION)
    except Problem as problem:
        return _form_again(request, intake, query, problem)
    return _led_to(wire.generation_url(request_id(standing.job)))


def _form_again(request: Request, intake: Intake, query: wire.GenerateQuery, problem: Problem) -> Response:
    """The form with what was typed, and beside the fields what is wrong with them."""
    status, wrong = _wrong(request, problem)
    is_known = problem.code != outcome_unknown("").code
    key = query.key if query.key and not is_known else f"form_{secrets.token_hex(12)}"
    known = form_texts(intake.ports.catalogue)
    texts = {name: text for name, text in texts_so_far(request).items() if name in known}
    form = _form(intake, texts.get("model") or query.model, key, texts, wrong)
    response = page("form.html", wire.STATIC_PATH, wire.HEADERS, status, form=form, is_known=is_known)
    response.headers.update(problem.headers)
    return response


def _form(intake: Intake, model: str, key: str, texts: Mapping[str, str], wrong: Wrong) -> Form:
    """The form of the model; of an unknown one that of the first, which says so."""
    catalogue = intake.ports.catalogue
    form = model_form(catalogue, model, key, texts, wrong) or model_form(catalogue, "", key, texts, wrong)
    assert form is not None, "the catalogue has models for this product"
    return form


def _wrong(request: Request, problem: Problem) -> tuple[int, Wrong]:
    """(status, what was wrong)."""
    if isinstance(problem, WireProblem):
        return problem.answer.status, wrong_of(None, str((problem.answer.document or {})["error"]))
    found = fault_of(problem, request.scope)
    status, sentence = told(found)
    if isinstance(problem.refusal, IdempotencyMismatch):
        return status, Wrong(_SENT_BEFORE)
    if problem.code == outcome_unknown("").code:
        return status, Wrong(_UNKNOWN)
    return status, wrong_of(found, sentence)


async def delete(request: Request) -> Response:
    """POST /asset/{asset_id}/delete: 303 to the library, which says so."""
    number = number_of(request.path_params["asset_id"])
    try:
        is_done = await deleted(request, number, ASSET_NOT_FOUND)
    except WireProblem as problem:
        raise WireProblem(wire.error_page(problem.answer.status, ASSET_NOT_FOUND)) from problem
    return _led_to(f"{wire.LIBRARY_PATH}?{'deleted' if is_done else 'deleting'}={number}")


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a small form. Raises Problem 400, 413 and 415."""
    kind = headers_of(request.scope).get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != wire.URLENCODED.encode():
        raise Problem(415, "unsupported-media-type", f"Send the form as {wire.URLENCODED}.")
    body = await whole_body(request, _BODY_BYTES_MAX)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise bad_field("body", "This is no form in UTF-8.") from error
    if len(dict(pairs)) < len(pairs):
        raise bad_field("body", "Give each field once.")
    return dict(pairs)


def _led_to(path: str) -> Response:
    return RedirectResponse(path, 303, _NO_STORE)
