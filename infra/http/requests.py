"""Reading requests: bodies within their size and time, JSON and parameters with errors that name the field."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from infra.http.headers import count_of, headers_of
from infra.http.problems import FieldError, Problem, bad_field, bad_fields, from_validation

JSON_BYTES_MAX = 256 << 10
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")

_WORDS = (
    (re.compile(r"Expected `str` of length >= 1(?!\d)"), "This must not be empty."),
    (re.compile(r"Expected `str` of length >= (?P<least>\d+)"), "This must have at least {least} characters."),
    (re.compile(r"Expected `str` of length <= (?P<most>\d+)"), "This must have at most {most} characters."),
    (re.compile(r"Expected `int` >= (?P<least>-?\d+)"), "This must be at least {least}."),
    (re.compile(r"Expected `int` <= (?P<most>-?\d+)"), "This must be at most {most}."),
    (re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<given>[^`]*)`"), "This must be {wanted}, not {given}."),
)
_TYPES = {
    "str": "a text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


async def body_chunks(
    request: Request,
    bytes_max: int,
    *,
    too_large: Callable[[], Problem] | None = None,
) -> AsyncGenerator[bytes]:
    """The body's chunks as they come. Raises Problem 413 (or `too_large`'s) past `bytes_max`.

    A body that stops coming is `infra.http.protocol`'s to end.
    """
    body = _Body(request, bytes_max, too_large)
    while not body.is_read:
        chunk = await body.chunk()
        if chunk:
            yield chunk


async def whole_body(request: Request, bytes_max: int) -> bytes:
    """The body in one piece. Raises Problem 413 past `bytes_max`."""
    body = _Body(request, bytes_max)
    chunks = [await body.chunk()]
    while not body.is_read:
        chunks.append(await body.chunk())
    return b"".join(chunks)


class _Body:
    """A body as it comes, with its bounds."""

    def __init__(self, request: Request, bytes_max: int, too_large: Callable[[], Problem] | None = None) -> None:
        self._receive, self._bytes_max, self._too_large = request.receive, bytes_max, too_large
        self._size = 0
        self.is_read = False
        declared = headers_of(request.scope).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > bytes_max:
            raise self._refusal()

    async def chunk(self) -> bytes:
        """What comes next, perhaps nothing."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        self._size += len(chunk)
        if self._size > self._bytes_max:
            raise self._refusal()
        self.is_read = not message.get("more_body", False)
        return chunk

    def _refusal(self) -> Problem:
        return body_too_large(self._bytes_max) if self._too_large is None else self._too_large()


def body_too_large(bytes_max: int) -> Problem:
    """413; the connection ends, because the rest of the body is not read."""
    detail = f"The body has more than {bytes_max} bytes."
    return Problem(413, "content-too-large", detail, headers={"Connection": "close"})


async def json_body(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The JSON body as the decoder's type. Raises Problem 400 naming the field, 413, 415."""
    return decode_json(await json_bytes(request), decoder)


async def json_bytes(request: Request) -> bytes:
    """The body of a request that says it is JSON, undecoded. Raises Problem 413, 415."""
    _check_kind(request)
    return await whole_body(request, JSON_BYTES_MAX)


async def optional_json_body(request: Request, decoder: msgspec.json.Decoder[T], default: T) -> T:
    """The same where there may be no body; `default` stands for none."""
    body = await whole_body(request, JSON_BYTES_MAX)
    if not body:
        return default
    _check_kind(request)
    return decode_json(body, decoder)


def _check_kind(request: Request) -> None:
    kind = headers_of(request.scope).get(b"content-type", b"")
    if kind != b"application/json" and kind.split(b";")[0].strip().lower() != b"application/json":
        raise Problem(415, "unsupported-media-type", "Send the body as Content-Type: application/json.")


def decode_json(body: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T], root: str = "") -> T:
    """Decode and check; raises Problem 400 naming the field (a JSON path without its `$.`) under `root`."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise bad_field(*_field_of(str(error), root)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_field("body", "This is not JSON in UTF-8.", code="invalid-json") from error


def _field_of(text: str, root: str) -> tuple[str, str]:
    """(field, message) of a msgspec error such as "Expected `int`, got `str` - at `$.params.scale`"."""
    match = _PLACE.match(text)
    what, path = (match.group("what"), match.group("path") or "") if match else (text, "")
    path = (root + path).removeprefix(".")
    for form, message in ((_MISSING, "This field is required."), (_UNKNOWN, "There is no such field.")):
        found = form.search(what)
        if found is not None:
            return ".".join(part for part in (path, found.group("name")) if part), message
    for form, message in _WORDS:
        found = form.fullmatch(what)
        if found is not None:
            return path or "body", message.format(**{name: _types(text) for name, text in found.groupdict().items()})
    return path or "body", f"{what}.".replace("`", "")


def _types(text: str) -> str:
    """`str | null` in words."""
    return " or ".join(_TYPES.get(part, part) for part in text.split(" | "))


def query_of(request: Request, model: type[M]) -> M:
    """The query parameters as `model`. Raises Problem 400 naming the parameter; one given twice is refused."""
    pairs = request.query_params.multi_items()
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise bad_fields([FieldError(name, "Give this parameter once.") for name in twice])
    return validated(model, dict(pairs))


def validated(model: type[M], values: dict[str, Any]) -> M:
    """`values` as `model`; raises Problem 400 naming the field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise from_validation(error) from error


def header_once(request: Request, name: str) -> str | None:
    """The value of a header (name in lower case), None where it is missing. Raises Problem 400 where it comes twice."""
    wanted = name.encode()
    found = headers_of(request.scope).get(wanted)
    if found is None:
        return None
    if count_of(request.scope, wanted) > 1:
        raise bad_field(name, "Give this header once.")
    return found.decode("latin-1").strip()
