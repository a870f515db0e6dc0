"""Multipart forms: texts and pictures, read as they come; pictures go straight into the object store.

Theory of operation. The form is read step by step (`ingest.form_steps`): a text is gathered within its limit, a
picture is checked and stored while its bytes come (`ingest.pictures`), so nothing ever holds more than one file and
nothing goes to a disk of the gateway. Whatever goes wrong, what was stored of the form is removed again. Where several
files of one field are taken, each may also fail by itself: its problem stands in its place, and the rest is read on.
What is wrong with the body as a whole is never one file's problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request

from infra.http.problems import FieldError, Problem, bad_field, bad_fields
from infra.http.requests import body_chunks, body_too_large
from infra.s3.store import ObjectStore
from ingest.discards import discard
from ingest.form_steps import Part, Steps, boundary_of
from ingest.pictures import Wanted, store_picture
from schemas.commands import StoredObject

FILE_NAME_CHARS_MAX = 255
_OVERHEAD_BYTES_MAX = 64 << 10
_TEXTS = "darkroom.form_texts"


@dataclass(frozen=True, slots=True)
class Files:
    """A field of pictures: what is wanted of each, how many, and whether one that fails leaves the others."""

    wanted: Wanted
    most: int = 1
    each_alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FormShape:
    """The fields of a form. `texts` gives each text's most characters; `bytes_max` bounds all of the body.

    What has no name here is refused where `strict`, else read over.
    """

    texts: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, Files] = field(default_factory=dict)
    bytes_max: int | None = None
    strict: bool = False

    def too_large(self) -> Problem:
        """The problem of a body past the limit: that of its file, where it takes just one."""
        files = list(self.files.values())
        if len(files) == 1 and files[0].most == 1:
            return files[0].wanted.too_large()
        return body_too_large(self.limit)

    @property
    def limit(self) -> int:
        """The most bytes of the body."""
        if self.bytes_max is not None:
            return self.bytes_max + _OVERHEAD_BYTES_MAX
        files = sum(files.wanted.bytes_max * files.most for files in self.files.values())
        return files + sum(4 * characters for characters in self.texts.values()) + _OVERHEAD_BYTES_MAX


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file of a form, in the order of the body: stored, or the problem why it is not."""

    field: str
    name: str | None
    object: StoredObject | None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """What a form held."""

    texts: Mapping[str, str]
    files: tuple[FormFile, ...]

    def file(self, name: str) -> FormFile | None:
        """The file of a field that takes one."""
        return next((file for file in self.files if file.field == name), None)

    @property
    def stored(self) -> list[str]:
        """Keys of all stored objects."""
        return [file.object.key for file in self.files if file.object is not None]


async def receive_form(
    request: Request, objects: ObjectStore, key_of: Callable[[str, int], str], shape: FormShape
) -> Form:
    """Read the form; the file number n of field f is stored under `key_of(f, n)`. Raises Problem; then nothing stays.

    400 names a field, 413 a body or file that is too large, 415 what is no form or no picture.
    """
    chunks = body_chunks(request, shape.limit, too_large=shape.too_large)
    reader = _Reader(Steps(boundary_of(request), chunks), objects, key_of, shape)
    request.scope[_TEXTS] = reader.texts
    try:
        return await reader.read()
    except BaseException as error:
        await discard(objects, *reader.stored)
        if isinstance(error, Problem) and not reader.at_end:
            error.headers["Connection"] = "close"  # the rest of the body is not read
        raise


def texts_so_far(request: Request) -> Mapping[str, str]:
    """The texts of the request's form, also of one that was refused half read: for pages that show it again."""
    texts: Mapping[str, str] = request.scope.get(_TEXTS, {})
    return texts


class _Reader:
    """Reads one form step by step."""

    def __init__(self, steps: Steps, objects: ObjectStore, key_of: Callable[[str, int], str], shape: FormShape) -> None:
        self._steps, self._objects, self._key_of, self._shape = steps, objects, key_of, shape
        self._texts: dict[str, str] = {}
        self._files: list[FormFile] = []

    @property
    def texts(self) -> Mapping[str, str]:
        """The texts so far, which grow."""
        return self._texts

    @property
    def stored(self) -> list[str]:
        """Keys of what is stored so far."""
        return Form(self._texts, tuple(self._files)).stored

    @property
    def at_end(self) -> bool:
        """Whether all of the body has been read."""
        return self._steps.at_end

    async def read(self) -> Form:
        """The whole form."""
        while (part := await self._steps.next_part()) is not None:
            if part.name in self._shape.files:
                await self._file(part)
            elif part.name in self._shape.texts:
                await self._text(part)
            elif self._shape.strict:
                raise self._strange(part.name)
            else:
                await self._steps.skip()
        return Form(self._texts, tuple(self._files))

    def _strange(self, name: str) -> Problem:
        wanted = [FieldError(name, "Send one picture in this field and nothing else.") for name in self._shape.files]
        return bad_fields([*wanted, FieldError(name or "body", "There is no such field.")])

    async def _text(self, part: Part) -> None:
        most, text = self._shape.texts[part.name], bytearray()
        if part.name in self._texts:
            raise bad_field(part.name, "Give this field once.")
        async for chunk in self._steps.data():
            text += chunk
            if len(text) > 4 * most:
                break
        try:
            value = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad_field(part.name, "This must be a text in UTF-8.") from error
        self._texts[part.name] = value
        if len(value) > most:
            raise bad_field(part.name, f"This must have at most {most} characters.")

    async def _file(self, part: Part) -> None:
        files, name = self._shape.files[part.name], part.name
        first = await self._steps.first()
        if first is None and not part.file_name:
            return  # a browser's way to say that no file was chosen
        number = sum(file.field == name for file in self._files)
        if number >= files.most:
            word = "picture" if files.most == 1 else "pictures"
            raise bad_field(name, f"Send at most {files.most} {word} in this field.")
        file_name = None if part.file_name is None else part.file_name[:FILE_NAME_CHARS_MAX]
        try:
            chunks = self._steps.data()
            stored = await store_picture(self._objects, self._key_of(name, number), chunks, files.wanted)
            self._files.append(FormFile(name, file_name, stored))
        except Problem as problem:
            if not files.each_alone or problem.status == 503 or problem is self._steps.problem:
                raise
            self._files.append(FormFile(name, file_name, None, problem))
            await self._steps.skip()
