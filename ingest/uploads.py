"""Uploads: multipart bodies, streamed into the object store while they come; a refused one leaves no object.

The parser is fed as chunks come and never holds more than the one allowed file, and nothing goes to a disk of the
gateway. At most `UPLOADS_MAX` bodies are read at a time, `ACCOUNT_UPLOADS_MAX` of one account; others wait, and their
clients' sockets with them, up to `WAITING_MAX`; beyond, the answer is 503. A body has `UPLOAD_LIMIT_S` to come, so that
clients who send slowly on purpose cannot keep the places.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from infra.http.problems import FieldError, Problem, bad_field, bad_fields
from infra.http.requests import body_chunks
from infra.s3.store import ObjectStore
from ingest.pictures import Wanted, store_picture
from schemas.commands import StoredObject

OVERHEAD_BYTES_MAX = 64 << 10
UPLOADS_MAX = 16
ACCOUNT_UPLOADS_MAX = 8
WAITING_MAX = 1_000
UPLOAD_LIMIT_S = 180.0
FILE_NAME_CHARS_MAX = 255
ALBUM_CHARS_MAX = 64
_HEADER_BYTES_MAX = 8 << 10
_FILE, _ALBUM = "file", "album"


@dataclass(frozen=True, slots=True)
class Upload:
    """A stored picture, the name that its file came with, and the album that it is meant for."""

    object: StoredObject
    file_name: str | None
    album: str | None = None


class UploadPlaces:
    """How many bodies are read at a time, in all and of one account."""

    def __init__(
        self,
        total: int = UPLOADS_MAX,
        per_account: int = ACCOUNT_UPLOADS_MAX,
        waiting_max: int = WAITING_MAX,
        *,
        what: str = "picture",
    ) -> None:
        """`what` names in errors what is uploaded."""
        self._what = what
        self._all, self._per_account, self._waiting_max = asyncio.Semaphore(total), per_account, waiting_max
        self._accounts: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._total, self._inside = total, 0

    @asynccontextmanager
    async def taken(self, account: str) -> AsyncIterator[None]:
        """A place of the account. Raises Problem 503 where too many wait, 408 for what takes longer than its time."""
        if self._inside >= self._total + self._waiting_max:
            detail = "Too many uploads wait; try again."
            raise Problem(503, "overloaded", detail, headers={"Retry-After": "2", "Connection": "close"})
        own, users = self._accounts.get(account, (asyncio.Semaphore(self._per_account), 0))
        self._accounts[account] = (own, users + 1)
        self._inside += 1
        try:
            async with own, self._all:
                try:
                    async with asyncio.timeout(UPLOAD_LIMIT_S):
                        yield
                except TimeoutError as error:
                    detail = f"The {self._what} did not come within {UPLOAD_LIMIT_S:.0f} s; try a faster connection."
                    raise Problem(408, "request-timeout", detail, headers={"Connection": "close"}) from error
        finally:
            self._inside -= 1
            self._leave(account)

    def _leave(self, account: str) -> None:
        own, users = self._accounts.pop(account)
        if users > 1:
            self._accounts[account] = (own, users - 1)


async def receive_upload(request: Request, objects: ObjectStore, key: str, wanted: Wanted) -> Upload:
    """Store the picture in the field `file` under `key`. Raises Problem (400 to 503); then nothing is stored.

    Multipart bodies with anything but one file in `file`, and at most an `album`, are refused.
    """
    parts = _Parts(_boundary(request), wanted)
    try:
        stored = await store_picture(objects, key, parts.chunks(request), wanted)
    except Problem as problem:
        if problem.status == 413:
            problem.headers["Connection"] = "close"  # the rest of the body is not read
        raise
    return Upload(stored, parts.file_name, parts.album)


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise Problem(415, "unsupported-media-type", "Send the picture as multipart/form-data in the field `file`.")
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > 200:
        raise bad_field("Content-Type", "The boundary of the multipart body is missing.")
    return boundary


class _Parts:
    """Callbacks of the parser: hands out the bytes of the one file, keeps the album, refuses everything else."""

    def __init__(self, boundary: bytes, wanted: Wanted) -> None:
        self.file_name: str | None = None
        self._wanted = wanted
        self._new, self._text = bytearray(), bytearray()
        self._seen: set[str] = set()
        self._part = ""
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
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    @property
    def album(self) -> str | None:
        """The album named; None where none is."""
        return self._text.decode("utf-8", "replace") or None

    async def chunks(self, request: Request) -> AsyncGenerator[bytes]:
        """The file's bytes as they come. Raises Problem."""
        bytes_max = self._wanted.bytes_max + OVERHEAD_BYTES_MAX
        async for chunk in body_chunks(request, bytes_max, too_large=self._wanted.too_large):
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise bad_field("body", "This is not a multipart body as its Content-Type says.") from error
            if self._new:
                yield bytes(self._new)
                self._new.clear()
        if not self._finished:
            raise bad_field("body", "The multipart body ends before its closing boundary.")
        if _FILE not in self._seen:
            raise bad_field(_FILE, "Send one picture in this field.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == _FILE:
            self._new += data[start:end]
            return
        self._text += data[start:end]
        if len(self._text) > ALBUM_CHARS_MAX:
            raise bad_field(_ALBUM, f"This must have at most {ALBUM_CHARS_MAX} characters.")

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
        if name not in (_FILE, _ALBUM):
            strange = FieldError(name or "body", "There is no such field.")
            raise bad_fields([FieldError(_FILE, "Send one picture in this field and nothing else."), strange])
        if name in self._seen:
            what = "Send one picture at a time." if name == _FILE else "Name one album."
            raise bad_field(name, what)
        self._part = name
        self._seen.add(name)
        if name == _FILE and b"filename" in options:
            self.file_name = options[b"filename"].decode("utf-8", "replace")[:FILE_NAME_CHARS_MAX]

    def _end(self) -> None:
        self._finished = True
