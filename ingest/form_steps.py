"""The steps of a multipart form: a part begins, bytes of it, it ends. The parser makes them of chunks as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.requests import Request

from infra.http.problems import Problem, bad_field

_HEADER_BYTES_MAX = 8 << 10
_PARTS_MAX = 100
_BOUNDARY_CHARS_MAX = 200


def boundary_of(request: Request) -> str:
    """What parts the body's fields. Raises Problem 415 for what is no form, 400 where its boundary is missing."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data":
        raise Problem(415, "unsupported-media-type", "Send the body as multipart/form-data.")
    boundary: str = options.get("boundary", "")
    if not boundary or len(boundary) > _BOUNDARY_CHARS_MAX or not boundary.isascii() or "\n" in boundary:
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

    def __init__(self, boundary: str, chunks: AsyncGenerator[bytes]) -> None:
        self.at_end = False
        self.problem: Problem | None = None
        self._chunks = chunks
        self._steps: deque[Part | bytes | object] = deque()
        self._parser = PushMultipartParser(boundary, max_header_size=_HEADER_BYTES_MAX, max_segment_count=_PARTS_MAX)

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
        try:
            if chunk is None:
                self.at_end = True
                self._parser.close()
            elif chunk:
                self._steps.extend(map(_step, self._parser.parse(chunk)))
        except MultipartError as error:
            if self.at_end:
                raise bad_field("body", "The multipart body ends before its closing boundary.") from error
            raise bad_field("body", f"This is not a multipart body as its Content-Type says: {error}.") from error
        return chunk


def _step(event: MultipartSegment | bytes | None) -> Part | bytes | object:
    if event is None:
        return _END
    return Part(event.name, event.filename) if isinstance(event, MultipartSegment) else event
