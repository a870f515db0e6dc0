"""Uploads: multipart bodies, streamed into the object store while they come; a refused one leaves no object.

The parser is fed as chunks come and never holds more than the one allowed file (10 MiB), whose bytes go on to the store
at once; they are kept until the end only to read the picture's header, orientation included, before any pixel. At most
`UPLOADS_MAX` uploads run at a time; the others wait, and their clients' sockets with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from infra.http.problems import FieldError, Problem, bad_field, bad_fields
from infra.http.requests import body_chunks
from infra.media.header import CONTENT_TYPES, SNIFF_BYTES, Format, HeaderUnreadable, ImageHeader, read_header, sniff
from infra.s3.store import ObjectStore, ObjectTooLarge, StoreUnavailable
from schemas.commands import StoredObject

FILE_BYTES_MAX = 10 << 20
OVERHEAD_BYTES_MAX = 64 << 10
PIXELS_MAX = 64_000_000
UPLOADS_MAX = 16
_HEADER_BYTES_MAX = 8 << 10
_FILE_NAME_CHARS_MAX = 255
_FIELD = "file"


@dataclass(frozen=True, slots=True)
class Upload:
    """A stored picture and the name that its file came with."""

    object: StoredObject
    file_name: str | None


async def receive_upload(request: Request, objects: ObjectStore, key: str, running: asyncio.Semaphore) -> Upload:
    """Store the picture in the field `file` under `key`. Raises Problem (400 to 503); then nothing is stored.

    Multipart bodies with anything but one file in `file` are refused. `running` has room for UPLOADS_MAX.
    """
    parts = _FileParts(_boundary(request))
    async with running:
        chunks = parts.chunks(request)
        try:
            found = await anext(chunks, None)  # the generator gives its first bytes only once the format is known
            if found is None:
                raise bad_field(_FIELD, "Send one picture in this field.")
            content_type = CONTENT_TYPES[parts.format]
            stored = await objects.put_stream(key, _with_first(found, chunks), content_type, FILE_BYTES_MAX)
        except ObjectTooLarge as error:
            raise _file_too_large() from error
        except StoreUnavailable as error:
            detail = "The object store does not answer; try again."
            raise Problem(503, "unavailable", detail, headers={"Retry-After": "1"}) from error
        finally:
            await chunks.aclose()
    header = parts.header
    assert header is not None, "a stream that ends well has been checked"
    return Upload(
        StoredObject(key, stored.size, stored.sha256, header.format, header.width, header.height), parts.file_name
    )


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise Problem(415, "unsupported-media-type", "Send the picture as multipart/form-data in the field `file`.")
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > 200:
        raise bad_field("Content-Type", "The boundary of the multipart body is missing.")
    return boundary


class _FileParts:
    """Callbacks of the parser: gathers the bytes of the one file, refuses everything else."""

    def __init__(self, boundary: bytes) -> None:
        self.file_name: str | None = None
        self.header: ImageHeader | None = None
        self.content = bytearray()
        self._new = bytearray()
        self._files = 0
        self._finished = False
        self._name, self._value, self._disposition = bytearray(), bytearray(), b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._grow(self._name, data[start:end]),
                "on_header_value": lambda data, start, end: self._grow(self._value, data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": lambda data, start, end: self._new.extend(data[start:end]),
                "on_end": self._end,
            },
        )

    @property
    def format(self) -> Format:
        """The picture's format by its first bytes; known once `chunks` gave some."""
        return _format(bytes(self.content[:SNIFF_BYTES]))

    async def chunks(self, request: Request) -> AsyncGenerator[bytes]:
        """The file's bytes as they come; at the end the picture's header is read. Raises Problem."""
        sent = 0
        async for chunk in body_chunks(request, FILE_BYTES_MAX + OVERHEAD_BYTES_MAX, too_large=_file_too_large):
            self._feed(chunk)
            if len(self.content) - sent >= SNIFF_BYTES or sent:
                self.format  # noqa: B018  # raises for what is no picture, before anything is stored
                yield bytes(self.content[sent:])
                sent = len(self.content)
        if not self._finished:
            raise bad_field("body", "The multipart body ends before its closing boundary.")
        if not self._files:
            raise bad_field(_FIELD, "Send one picture in this field.")
        self.header = _checked(bytes(self.content))
        yield bytes(self.content[sent:])

    def _feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise bad_field("body", "This is not a multipart body as its Content-Type says.") from error
        self.content += self._new
        self._new.clear()
        if len(self.content) > FILE_BYTES_MAX:
            raise _file_too_large()

    def _begin(self) -> None:
        self._disposition = b""

    def _grow(self, text: bytearray, data: bytes) -> None:
        text.extend(data)
        if len(text) > _HEADER_BYTES_MAX:
            raise bad_field("body", "A part's header is too long.")

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != _FIELD:
            strange = FieldError(name or "body", "There is no such field.")
            raise bad_fields([FieldError(_FIELD, "Send one picture in this field and nothing else."), strange])
        self._files += 1
        if self._files > 1:
            raise bad_field(_FIELD, "Send one picture at a time.")
        if b"filename" in options:
            self.file_name = options[b"filename"].decode("utf-8", "replace")[:_FILE_NAME_CHARS_MAX]

    def _end(self) -> None:
        self._finished = True


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _format(first_bytes: bytes) -> Format:
    found = sniff(first_bytes)
    if found is None:
        raise bad_field(_FIELD, "This is no JPEG, PNG or WebP picture.", status=415, code="unsupported-picture")
    return found


def _checked(content: bytes) -> ImageHeader:
    if not content:
        raise bad_field(_FIELD, "The file is empty.")
    _format(content[:SNIFF_BYTES])
    try:
        header = read_header(content)
    except HeaderUnreadable as error:
        raise bad_field(_FIELD, f"The picture cannot be read: {error}.", code="unreadable-picture") from error
    if header.width * header.height > PIXELS_MAX:
        message = f"The picture has {header.width} x {header.height} pixels; at most {PIXELS_MAX // 10**6} megapixels."
        raise bad_field(_FIELD, message, code="picture-too-large")
    return header


def _file_too_large() -> Problem:
    message = f"The picture has more than {FILE_BYTES_MAX} bytes."
    problem = bad_field(_FIELD, message, status=413, code="content-too-large")
    problem.headers["Connection"] = "close"  # the rest of the body is not read
    return problem
