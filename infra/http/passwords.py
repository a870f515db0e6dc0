"""The password of studio's administrator: user `admin`, one password for the deployment.

It comes from `DARKROOM_ADMIN_PASSWORD`, else from the file `admin-password` that the first start puts among the secrets
(mode 600). The gateway reads it once, hashes it with Argon2id and forgets it; what it keeps is the hash.

What this defends, and what not. The hash makes a memory dump or a core file of the gateway no password: each guess at
it costs 19 MiB and 50 ms of a core (OWASP's least for Argon2id). Each guess over HTTP costs us the same, so at most two
are verified at a time, off the event loop, and no more than sixteen wait; the limit of logins stands before it. A user
who does not exist costs as much as one who does, so time tells nobody which names there are. Whoever can read the file
or the environment of the process needs no guess: the rights on those are what protects them.
"""

from __future__ import annotations

import asyncio
import hmac
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import OperatorError
from infra.settings import SettingsError

ADMIN_USER = "admin"
PASSWORD_CHARS_MAX = 1024
AT_A_TIME = 2
WAITING_MAX = 16
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class TooManyLogins(Exception):
    """So many passwords wait for their turn that this one was not looked at; the same login may work later."""


class AdminSettings(BaseSettings):
    """`DARKROOM_ADMIN_PASSWORD`; empty counts as not given."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_ADMIN_", frozen=True, extra="ignore")

    password: SecretStr | None = Field(default=None, min_length=8, max_length=PASSWORD_CHARS_MAX)

    @field_validator("password", mode="before")
    @classmethod
    def _empty_is_none(cls, password: object) -> object:
        return password or None


class AdminPassword:
    """Knows the password's hash; one per gateway, safe for concurrent requests."""

    def __init__(self, password: str) -> None:
        """Takes 50 ms."""
        self._hash = _HASHER.hash(_bytes(password))
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="password")
        self._asked = 0

    async def verify(self, user: str, password: str) -> bool:
        """Whether this is the administrator, in the same time whichever of the two is wrong. Raises TooManyLogins."""
        if self._asked >= AT_A_TIME + WAITING_MAX:
            raise TooManyLogins("Too many logins wait for their turn; try again in a moment.")
        self._asked += 1
        try:
            fits = await asyncio.get_running_loop().run_in_executor(self._threads, self._fits, password)
        finally:
            self._asked -= 1
        return hmac.compare_digest(_bytes(user), ADMIN_USER.encode()) and fits

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(cancel_futures=True)

    def _fits(self, password: str) -> bool:
        try:
            _HASHER.verify(self._hash, _bytes(password))
        except VerifyMismatchError:
            return False
        return True


def load_admin_password(secrets_dir: Path) -> AdminPassword:
    """The password of this deployment. Raises OperatorError with one sentence where there is none that can be used."""
    try:
        given = AdminSettings().password
    except ValidationError:
        limits = f"between 8 and {PASSWORD_CHARS_MAX} characters"
        # Without the cause, which would show the password.
        raise SettingsError(f"The setting DARKROOM_ADMIN_PASSWORD is not usable: it has to have {limits}.") from None
    return AdminPassword(_in_file(secrets_dir / "admin-password") if given is None else given.get_secret_value())


def _in_file(path: Path) -> str:
    cure = "start the stack once, it makes one, or set DARKROOM_ADMIN_PASSWORD"
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise OperatorError(f"The secret {path} cannot be read: {cure}.") from error
    if not 0 < len(password) <= PASSWORD_CHARS_MAX:
        raise OperatorError(f"The secret {path} is empty or too long: {cure}.")
    return password


def _bytes(text: str) -> bytes:
    """JSON may hold halves of characters, which are a wrong password and no fault."""
    return text.encode("utf-8", "surrogatepass")
