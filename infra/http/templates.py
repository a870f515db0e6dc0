"""HTML pages out of templates, and the files that stand beside them.

Theory of operation. The folder `html` holds Jinja2 templates and the few files that pages load. Templates escape
whatever they are given, and what they name has to be given. Files are read once and named with the hash of their bytes
in the query (`/static/pages/studio.css?v=…`), so that browsers may keep them for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from infra.http.headers import headers_of

_FOLDER = Path(__file__).resolve().parent / "html"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOREVER, _ASK = "public, max-age=31536000, immutable", "public, no-cache"


class StaticFile(NamedTuple):
    """A file as it goes out; `version` changes with its bytes."""

    content: bytes
    media: str
    version: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """The files by name."""
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            found[path.name] = StaticFile(content, _TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:16])
    return found


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"day": _day, "iso": _iso, "size": _size}
    return made


def page(name: str, static_path: str, headers: Mapping[str, str], status: int = 200, **context: Any) -> Response:
    """The template `name` as an answer; files beside it stand under `static_path`."""

    def static(file: str) -> str:
        return f"{static_path}/{file}?v={static_files()[file].version}"

    text = _environment().get_template(name).render(static=static, **context)
    return Response(text, status, dict(headers), media_type="text/html")


def static_answer(request: Request, file: StaticFile) -> Response:
    """The file. Under an address that names its version it may be kept for good."""
    etag, named = f'"{file.version}"', request.query_params.get("v") == file.version
    headers = {"etag": etag, "cache-control": _FOREVER if named else _ASK, "content-type": file.media}
    if headers_of(request.scope).get(b"if-none-match", b"").decode("latin-1") == etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers)


def _day(time_ms: int) -> str:
    """A moment in words, in UTC."""
    time = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def _iso(time_ms: int) -> str:
    """The same for machines."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _size(size_bytes: int) -> str:
    """A number of bytes in words."""
    if size_bytes < 1_000_000:
        return f"{max(1, round(size_bytes / 1000))} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"
