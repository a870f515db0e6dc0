"""Answers of the hot path: JSON without the work that Starlette's general response does for each header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

_encode = msgspec.json.Encoder().encode
_KIND = (b"content-type", b"application/json")


class JsonAnswer(Response):
    """A document as JSON. Header names must be in lower case."""

    def __init__(self, status: int, document: Mapping[str, Any], headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.status_code = status
        self.background = None
        self.body = _encode(document)
        self.raw_headers = [_KIND, (b"content-length", b"%d" % len(self.body)), *headers]
