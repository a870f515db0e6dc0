"""Document 001, pix-loom: what its requests ask for, checked at the edge. Pure.

A request that is wrong gives the names of its wrong fields, whose words stand in `pix_loom_errors`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from schemas.wire.pix_loom_errors import (
    IMAGE,
    METADATA_BYTES_MAX,
    OFFSET_MAX,
    OPERATION,
    OPERATIONS,
    URL_CHARS_MAX,
)

LIMIT_DEFAULT, LIMIT_MAX = 20, 100
_NUMBER = re.compile("[0-9]{1,16}")
_encode = msgspec.json.Encoder().encode


class GenerateRequest(msgspec.Struct, frozen=True):
    """A checked body of POST generate; `url` None: the plan's sample picture."""

    url: str | None
    operation: str
    metadata: dict[str, Any] | None


def read_generate(body: Mapping[str, Any]) -> GenerateRequest | list[str]:
    """The request, or the names of the fields that are wrong. Null stands for a member that is left out."""
    url, operation, metadata = body.get(IMAGE), body.get(OPERATION), body.get("metadata")
    bad = [IMAGE] if not (url is None or _is_url(url)) else []
    if not isinstance(operation, str) or operation not in OPERATIONS:
        bad.append(OPERATION)
    if not (metadata is None or _is_metadata(metadata)):
        bad.append("metadata")
    return bad or GenerateRequest(url, str(operation), metadata)


def _is_url(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= URL_CHARS_MAX and "\0" not in value


def _is_metadata(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    text = _encode(value)
    return len(text) <= METADATA_BYTES_MAX and (b"\\u0000" not in text or not _holds_null(value))


def _holds_null(value: object) -> bool:
    """Whether U+0000 is in any text, names of members included. What is nested is bounded by its bytes."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text if "\0" in text:
                return True
            case dict() as members:
                waiting += [*members, *members.values()]
            case list() as items:
                waiting += items
    return False


class HistoryFilter(msgspec.Struct, frozen=True):
    """Checked parameters of GET history; `operation` None: all four."""

    limit: int = LIMIT_DEFAULT
    offset: int = 0
    operation: str | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose jobs are listed."""
        return OPERATIONS if self.operation is None else (self.operation,)


def read_history(parameters: Iterable[tuple[str, str]]) -> HistoryFilter | list[str]:
    """The filter, or the names of the parameters that are wrong or come twice; unknown ones are ignored."""
    given: dict[str, str] = {}
    bad: set[str] = set()
    for name, value in parameters:
        if name in given:
            bad.add(name)
        given[name] = value
    limit = _number(given.get("limit"), LIMIT_DEFAULT, 1, LIMIT_MAX)
    offset = _number(given.get("offset"), 0, 0, OFFSET_MAX)
    operation = given.get(OPERATION)
    wrong = {"limit": limit is None, "offset": offset is None, OPERATION: operation not in (None, *OPERATIONS)}
    named = [name for name, is_wrong in wrong.items() if is_wrong or name in bad]
    if named or limit is None or offset is None:
        return named
    return HistoryFilter(limit, offset, operation)


def _number(text: str | None, default: int, least: int, most: int) -> int | None:
    if text is None:
        return default
    number = int(text) if _NUMBER.fullmatch(text) else None
    return number if number is not None and least <= number <= most else None
