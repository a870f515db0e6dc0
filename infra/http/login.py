"""Logging in: whose credentials count, and the session that they begin.

A session is a token in a cookie: it ends after a day without use, at the latest 30 days after its login, and when it is
revoked (`infra.http.sessions`). Nothing of it is stored before its first use. The subject of a user of Google is
`google:<Google's id>`, that of the deployment's administrator `admin`; a login gives no rights of an operator.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from infra.clock import Clock, SystemClock
from infra.http.audit import accessed
from infra.http.cookies import set_cookie
from infra.http.google import GoogleVerifier, LoginRefused, google_verifier
from infra.http.headers import headers_of
from infra.http.passwords import ADMIN_USER, AdminPassword, load_admin_password
from infra.http.signing_keys import KeyFolder
from infra.http.tokens import Caller, sign_token
from infra.settings import Settings
from schemas.identifiers import account_id

IDLE_S = 86_400
TTL_S = 30 * 86_400
_OWN_PAGES = (b"none", b"same-origin")


class GoogleNotConfigured(Exception):
    """This deployment has no client id at Google, so nobody can log in that way."""


@dataclass(frozen=True, slots=True)
class Logins:
    """Who may log in, and how sessions begin; handlers get it by `port_of(request, Logins)`."""

    google: GoogleVerifier | None
    admin: AdminPassword
    keys: KeyFolder
    deployment: str
    identifier_key: bytes
    clock: Clock

    async def by_google(self, credential: str) -> str:
        """The subject that Google's ID token names.

        Raises GoogleNotConfigured, LoginRefused and IdentityProviderUnavailable.
        """
        if self.google is None:
            raise GoogleNotConfigured
        return (await self.google.verify(credential)).subject

    async def by_password(self, user: str, password: str) -> str:
        """The administrator's subject. Raises LoginRefused and TooManyLogins."""
        if not await self.admin.verify(user, password):
            raise LoginRefused("User or password is wrong.")
        return ADMIN_USER

    def begin(self, request: Request, product: str, subject: str, cookie: str) -> Caller:
        """Begin a session of the subject: the answer sets the cookie, and the request counts as the subject's."""
        token = sign_token(
            self.keys,
            self.deployment,
            product,
            subject,
            now_s=self.clock.now_ms() // 1000,
            ttl_s=TTL_S,
            idle_s=IDLE_S,
        )
        set_cookie(request.scope, cookie, token, max_age_s=TTL_S)
        caller = Caller(account=account_id(self.identifier_key, product, subject), product=product, subject=subject)
        request.scope["darkroom.caller"] = caller
        accessed(request, account=caller.account)
        return caller


def is_sent_by_own_page(request: Request) -> bool:
    """Whether the user, or a page of this origin, sent a request that changes something although it is a GET.

    Cookies go along with a click on any site's link; where a browser does not say what it was, it counts as the user's.
    """
    return headers_of(request.scope).get(b"sec-fetch-site", b"none") in _OWN_PAGES


@asynccontextmanager
async def open_logins(settings: Settings, identifier_key: bytes) -> AsyncIterator[Logins]:
    """The logins of this deployment. Raises OperatorError where the administrator has no usable password."""
    admin = load_admin_password(settings.secrets_dir)
    try:
        yield Logins(
            google=google_verifier(settings),
            admin=admin,
            keys=KeyFolder(settings.secrets_dir / "jwt"),
            deployment=settings.deployment,
            identifier_key=identifier_key,
            clock=SystemClock(),
        )
    finally:
        admin.close()
