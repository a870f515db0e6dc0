"""What all lists answer with: pages, cursors, and JSON that no cache may keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from api.cursors import FIRST_PIN, Cursor, read_cursor, write_cursor
from api.ports import ApiPorts

_encoder = msgspec.json.Encoder()
_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class _Answer(Response):
    """200 with JSON; its headers are written as they stand, because most of the requests end here."""

    def __init__(self, body: bytes) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]


def answer(document: Mapping[str, Any]) -> Response:
    """200 with the document, which no cache may keep."""
    return _Answer(_encoder.encode(document))


def scope_of(name: str, account: str, *parts: Any) -> str:
    """What a cursor is bound to: the list, the account, and everything that narrows or orders it."""
    return f"{name} {account} {_encoder.encode(parts).decode()}"


def page_start(ports: ApiPorts, scope: str, cursor: str | None, newest_first: bool) -> Cursor:
    """Where the page begins. Raises Problem 400 for a cursor that is not of this list."""
    if cursor is not None:
        return read_cursor(ports.signer, scope, cursor)
    return Cursor(FIRST_PIN, FIRST_PIN if newest_first else 0)


def next_cursor(
    ports: ApiPorts, scope: str, cursor: Cursor, rows: Sequence[Any], limit: int, *, key: str = "version"
) -> str | None:
    """Where the next page begins, None after the last. `rows` are one more than the page where there is a next one."""
    if len(rows) <= limit:
        return None
    last = rows[limit - 1]
    return write_cursor(ports.signer, scope, Cursor(min(cursor.pin, last["pin"]), last[key]))


def milliseconds(moment: Any) -> int | None:
    """A moment of a query in UTC ms."""
    return None if moment is None else int(moment.timestamp() * 1000)
