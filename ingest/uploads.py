"""Uploads of single pictures, and the places that bound how many bodies are read at a time.

At most `UPLOADS_MAX` bodies are read at a time, `ACCOUNT_UPLOADS_MAX` of one account; others wait, and their
clients' sockets with them, up to `WAITING_MAX`; beyond, the answer is 503. A body has `UPLOAD_LIMIT_S` to come, so that
clients who send slowly on purpose cannot keep the places.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from infra.http.problems import Problem, bad_field
from infra.s3.store import ObjectStore
from ingest.forms import Files, FormShape, receive_form
from ingest.pictures import Wanted
from schemas.commands import StoredObject

UPLOADS_MAX = 16
ACCOUNT_UPLOADS_MAX = 8
WAITING_MAX = 1_000
UPLOAD_LIMIT_S = 180.0
ALBUM_CHARS_MAX = 64
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
    shape = FormShape(texts={_ALBUM: ALBUM_CHARS_MAX}, files={_FILE: Files(wanted)}, strict=True)
    form = await receive_form(request, objects, lambda _, __: key, shape)
    file = form.file(_FILE)
    if file is None or file.object is None:
        raise bad_field(_FILE, "Send one picture in this field.")
    return Upload(file.object, file.name, form.texts.get(_ALBUM) or None)
