"""The steps of a multipart form: a part begins, bytes of it, it ends. The parser makes them of chunks as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from infra.http.problems import Problem, bad_field

_HEADER_BYTES_MAX = 8 << 10
_PARTS_MAX = 100


def boundary_of(request: Request) -> bytes:
    """What parts the body's fields. Raises Problem 415 for what is no form, 400 where its boundary is missing."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise Problem(415, "unsupported-media-type", "Send the body as multipart/form-data.")
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > 200:
        raise bad_field("Content-Type", "The boundary of the multipart body is missing.")
    return boundary


@dataclass(frozen=True, slots=True)
class Part:
    """The beginning of a part."""

    name: str
    file_name: str | None


_END = object()


class Steps:
    """The steps of a form, made as chunks come. `problem` is one of the whole body; `at_end`: all was read."""

    def __init__(self, boundary: bytes, chunks: AsyncGenerator[bytes]) -> None:
        self.at_end = False
        self.problem: Problem | None = None
        self._chunks = chunks
        self._steps: deque[Part | bytes | object] = deque()
        self._parts, self._is_whole = 0, False
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._grow(self._header, data[start:end]),
                "on_header_value": lambda data, start, end: self._grow(self._value, data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": lambda data, start, end: self._steps.append(data[start:end]),
                "on_part_end": lambda: self._steps.append(_END),
                "on_end": self._finish,
            },
        )

    async def next_part(self) -> Part | None:
        """The next part's beginning, None at the form's end. The part before has to be read."""
        while (step := await self._next()) is not None:
            if isinstance(step, Part):
                return step
        return None

    async def first(self) -> bytes | None:
        """The first bytes of the part, left in their place; None where it is empty."""
        step = await self._next()
        assert step is not None, "a part that has begun has an end"
        self._steps.appendleft(step)
        return step if isinstance(step, bytes) else None

    async def data(self) -> AsyncGenerator[bytes]:
        """The bytes of the part."""
        while isinstance(step := await self._next(), bytes):
            yield step
        self._steps.appendleft(_END)

    async def skip(self) -> None:
        """Read over the rest of the part."""
        async for _ in self.data():
            pass

    async def _next(self) -> Part | bytes | object | None:
        """The next step; None after the last. Raises Problem for what is no form."""
        while not self._steps:
            try:
                chunk = await self._parsed()
            except Problem as problem:
                self.problem = problem
                raise
            if chunk is None:
                return None
        return self._steps.popleft()

    async def _parsed(self) -> bytes | None:
        """The next chunk, made into steps; None after the last."""
        chunk = await anext(self._chunks, None)
        if chunk is None:
            self.at_end = True
            if not self._is_whole:
                raise bad_field("body", "The multipart body ends before its closing boundary.")
            return None
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise bad_field("body", "This is not a multipart body as its Content-Type says.") from error
        return chunk

    def _begin(self) -> None:
        self._disposition = b""
        self._parts += 1
        if self._parts > _PARTS_MAX:
            raise bad_field("body", f"A form has at most {_PARTS_MAX} parts.")

    def _grow(self, text: bytearray, data: bytes) -> None:
        text.extend(data)
        if len(text) > _HEADER_BYTES_MAX:
            raise bad_field("body", "A part's header is too long.")

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options[b"filename"].decode("utf-8", "replace") if b"filename" in options else None
        self._steps.append(Part(name, file_name))

    def _finish(self) -> None:
        self._is_whole = True
