"""Pictures on their way into the object store: checked while they come; what is refused leaves no object.

Whoever sends them (a form, an object put by a signed URL, a remote server), the way is the same: the first bytes must
be those of a format that the product takes, at most `bytes_max` may come, and the picture's header, orientation
included, is read before any pixel and before the last bytes are stored. The bytes go on to the store as they come; they
are kept beside until the end only for the header.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from infra import failpoints
from infra.http.problems import Problem, bad_field
from infra.media.header import CONTENT_TYPES, SNIFF_BYTES, Format, HeaderUnreadable, ImageHeader, read_header, sniff
from infra.s3.store import ObjectStore, ObjectTooLarge, StoreUnavailable
from schemas.commands import StoredObject

FILE_BYTES_MAX = 10 << 20
PIXELS_MAX = 64_000_000
_ALL: tuple[Format, ...] = tuple(CONTENT_TYPES)
_NAMES = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "heic": "HEIC"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is taken. `field` is what errors speak of, `status` that of every refusal; None: each has its own."""

    field: str
    formats: tuple[Format, ...] = _ALL
    bytes_max: int = FILE_BYTES_MAX
    status: int | None = None

    @property
    def names(self) -> str:
        """The formats in words: `JPEG, PNG or WebP`."""
        names = [_NAMES.get(name, name.upper()) for name in self.formats]
        return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]

    def refused(self, message: str, status: int = 400, code: str = "invalid-field") -> Problem:
        """The problem of a picture that is not taken."""
        return bad_field(self.field, message, status=self.status or status, code=code)

    def too_large(self) -> Problem:
        """The problem of too many bytes."""
        return self.refused(f"The picture has more than {self.bytes_max} bytes.", 413, "content-too-large")


async def store_picture(objects: ObjectStore, key: str, chunks: AsyncGenerator[bytes], wanted: Wanted) -> StoredObject:
    """Store the picture under `key` and describe it. Raises Problem, and what `chunks` raises; then nothing is stored.

    `chunks` is closed.
    """
    picture = _Picture(wanted)
    checked = picture.chunks(chunks)
    try:
        first = await anext(checked)  # the generator gives its first bytes only once the format is known
        content_type = CONTENT_TYPES[picture.format]
        failpoints.passed("gateway.put-object.before")
        stored = await objects.put_stream(key, _with_first(first, checked), content_type, wanted.bytes_max)
        failpoints.passed("gateway.put-object.after")
    except ObjectTooLarge as error:
        raise wanted.too_large() from error
    except StoreUnavailable as error:
        raise store_away() from error
    finally:
        await checked.aclose()
        await chunks.aclose()
    header = picture.header
    assert header is not None, "a stream that ends well has been checked"
    return StoredObject(key, stored.size, stored.sha256, header.format, header.width, header.height)


def store_away() -> Problem:
    """503 while the object store does not answer."""
    detail = "The object store does not answer; try again."
    return Problem(503, "unavailable", detail, headers={"Retry-After": "1"})


class _Picture:
    """The bytes so far, and what they say."""

    def __init__(self, wanted: Wanted) -> None:
        self.header: ImageHeader | None = None
        self._wanted = wanted
        self._content = bytearray()

    @property
    def format(self) -> Format:
        """By the first bytes; raises Problem for what is none of the wanted ones."""
        found = sniff(bytes(self._content[:SNIFF_BYTES]))
        if found is None or found not in self._wanted.formats:
            raise self._wanted.refused(f"This is no {self._wanted.names} picture.", 415, "unsupported-picture")
        return found

    async def chunks(self, source: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The bytes as they come, at least once; at the end the header is read. Raises Problem."""
        content, sent = self._content, 0
        async for chunk in source:
            content += chunk
            if len(content) > self._wanted.bytes_max:
                raise self._wanted.too_large()
            if len(content) >= SNIFF_BYTES:
                self.format  # noqa: B018  # raises for what is no picture, before anything is stored
                yield bytes(content[sent:])
                sent = len(content)
        self.header = self._checked()
        if sent < len(content):
            yield bytes(content[sent:])

    def _checked(self) -> ImageHeader:
        if not self._content:
            raise self._wanted.refused("The file is empty.")
        self.format  # noqa: B018  # raises where fewer bytes came than a format's name has
        try:
            header = read_header(bytes(self._content))
        except HeaderUnreadable as error:
            raise self._wanted.refused(f"The picture cannot be read: {error}.", code="unreadable-picture") from error
        if header.width * header.height > PIXELS_MAX:
            size = f"{header.width} x {header.height}"
            message = f"The picture has {size} pixels; at most {PIXELS_MAX // 10**6} megapixels."
            raise self._wanted.refused(message, code="picture-too-large")
        return header


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
