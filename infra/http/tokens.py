"""Bearer tokens: JWT signed with EdDSA (Ed25519), the only algorithm that is ever accepted.

Claims: `iss` "darkroom", `aud` the deployment, `sub` the subject, `product`, `plan`, `role` (`user` or `admin`),
`workspace`, `jti` (the session id), `iat`, `exp` (at most 400 days ahead), and `idle_s` in session tokens: such a token
also ends when it was not used for so many seconds (`infra.http.sessions`). A cookie carries the same text as a bearer.
Of the product `workspace-images` a token with a `workspace` acts for the workspace's account, not for the user's own;
in tokens of other products the claim changes nothing.
No HTTP here, so that command line tools load it quickly.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infra.errors import OperatorError
from infra.http.signing_keys import KeyFolder
from schemas.identifiers import account_id

ISSUER = "darkroom"
ALGORITHM = "EdDSA"
LEEWAY_S = 5
TOKEN_BYTES_MAX = 4096
TTL_MAX_S = 400 * 86_400
ADMIN = "admin"
OWNER = "user"  # as an actor: whose own account it is
_OF_WORKSPACES = ("workspace-images",)
_CACHED_MAX = 20_000
_TIME_MAX_S = 2**53
_SESSION_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")


class TokenInvalid(Exception):
    """The token does not count; the message is one sentence that may be shown to the client."""


class SessionClaims(msgspec.Struct, frozen=True, gc=False):
    """What a token says of its own life. `idle_s` None: a plain token, which ends at `ends_s` whether used or not."""

    id: str
    issued_s: int
    ends_s: int
    idle_s: int | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the token says. `account` is the keyed hash of product and `owner`, whose money is spent.

    `subject` is always the user. `actor` is what commands say of who acts: "user" on one's own account, on a
    workspace's account a keyed hash of the user (the id of the user's own account).
    """

    account: str
    product: str
    subject: str
    plan: str = "default"
    role: str = "user"
    workspace: str | None = None
    session: SessionClaims | None = None
    actor: str = OWNER

    @property
    def owner(self) -> str:
        """The subject of the account itself: the workspace that the user acts for, else the user."""
        return self.subject if self.actor == OWNER or self.workspace is None else self.workspace

    @property
    def person(self) -> str:
        """The user's own account id, whoever's account the token acts for."""
        return self.account if self.actor == OWNER else self.actor

    @property
    def is_admin(self) -> bool:
        """Whether operators' operations are open to the caller."""
        return self.role == ADMIN


def sign_token(
    keys: KeyFolder,
    deployment: str,
    product: str,
    subject: str,
    *,
    now_s: int,
    ttl_s: int,
    plan: str = "default",
    role: str = "user",
    workspace: str | None = None,
    idle_s: int | None = None,
) -> str:
    """A token for `subject` of `product`, good for `ttl_s` seconds; with `idle_s` a session token."""
    kid, key = keys.signing(now_s)
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": deployment,
        "sub": subject,
        "product": product,
        "plan": plan,
        "role": role,
        "jti": secrets.token_hex(16),
        "iat": now_s,
        "exp": now_s + ttl_s,
    }
    if workspace is not None:
        claims["workspace"] = workspace
    if idle_s is not None:
        claims["idle_s"] = idle_s
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid})


_OPTIONS: Any = {
    "require": ["exp", "iat", "sub", "iss", "aud", "jti", "product"],
    "verify_exp": False,  # `_check_times` does, by our clock
    "verify_iat": False,
    "verify_nbf": False,
}


class TokenVerifier:
    """Verifies tokens; what was verified is remembered by its hash until it ends, so that the hot path is a lookup."""

    def __init__(
        self, keys: KeyFolder, identifier_key: bytes, deployment: str, now_s: Callable[[], float] = time.time
    ) -> None:
        self._keys, self._identifier_key, self._deployment, self._now_s = keys, identifier_key, deployment, now_s
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def verify(self, token: str) -> Caller:
        """The caller; raises TokenInvalid."""
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenInvalid(f"The token is longer than {TOKEN_BYTES_MAX} characters.")
        digest = hashlib.blake2b(token.encode("utf-8", "surrogateescape")).digest()
        known = self._known.get(digest)
        if known is not None:
            if self._now_s() < known.ends_s and self._keys.public_key(known.kid) is known.key:
                return known.caller
            del self._known[digest]
        kid, key, claims = self._claims(token)
        caller = self._caller(claims)
        self._known[digest] = _Known(caller, float(claims["exp"]) + LEEWAY_S, kid, key)
        if len(self._known) > _CACHED_MAX:
            self._known.popitem(last=False)
        return caller

    def _claims(self, token: str) -> tuple[str, Ed25519PublicKey, Mapping[str, Any]]:
        """The `kid`, its key, and the claims, signed by it and in their time."""
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            key = self._keys.public_key(kid) if isinstance(kid, str) else None
            if header.get("alg") != ALGORITHM or key is None:
                raise TokenInvalid("The token is not signed by a key of this deployment.")
            claims: dict[str, Any] = jwt.decode(
                token, key, algorithms=[ALGORITHM], audience=self._deployment, issuer=ISSUER, options=_OPTIONS
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise TokenInvalid("The token is not valid for this deployment.") from error
        check_times(claims, self._now_s(), TTL_MAX_S)
        return str(kid), key, claims

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        product, subject = claims["product"], claims["sub"]
        workspace, plan, role = claims.get("workspace"), claims.get("plan", "default"), claims.get("role", "user")
        texts = (product, subject, plan, role, *(() if workspace is None else (workspace,)))
        if not all(_is_text(text) for text in texts) or ":" in product:
            raise TokenInvalid("The token names no usable product, subject, plan, role or workspace.")
        own = account_id(self._identifier_key, product, subject)
        shared = workspace if product in _OF_WORKSPACES else None
        return Caller(
            account=own if shared is None else account_id(self._identifier_key, product, shared),
            product=product,
            subject=subject,
            plan=plan,
            role=role,
            workspace=workspace,
            session=_session(claims),
            actor=OWNER if shared is None else own,
        )


def _is_text(value: object) -> bool:
    """Whether it is a text of one character or more that UTF-8 can hold: JSON also spells halves of surrogates."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


class _Known(NamedTuple):
    caller: Caller
    ends_s: float
    kid: str
    key: Ed25519PublicKey


def check_times(claims: Mapping[str, Any], now_s: float, ttl_max_s: int, leeway_s: int = LEEWAY_S) -> None:
    """Whether now lies in the token's time, by our clock and the leeway. Raises TokenInvalid."""
    times = [claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)]
    if not all(type(time_s) in (int, float) and 0 <= time_s <= _TIME_MAX_S for time_s in times):
        raise TokenInvalid("The token's times are no numbers.")
    ends_s, begins_s = times[0], max(times[1:])
    if ends_s > now_s + ttl_max_s:
        raise TokenInvalid(f"The token ends more than {ttl_max_s // 3600} hours from now.")
    if now_s >= ends_s + leeway_s:
        raise TokenInvalid("The token has expired; get a new one.")
    if now_s < begins_s - leeway_s:
        raise TokenInvalid("The token is not valid yet.")


def _session(claims: Mapping[str, Any]) -> SessionClaims:
    session, idle_s = claims["jti"], claims.get("idle_s")
    if not isinstance(session, str) or not is_session_id(session):
        raise TokenInvalid("The token's id (`jti`) is no session id.")
    if idle_s is not None and (type(idle_s) is not int or idle_s < 1):
        raise TokenInvalid("The token's idle limit is no number of seconds.")
    return SessionClaims(session, int(claims["iat"]), int(claims["exp"]), idle_s)


def is_session_id(text: str) -> bool:
    """Whether the text can be the id of a session: 1 to 128 characters that a path may hold as they are."""
    return _SESSION_ID.fullmatch(text) is not None


def read_secret(secrets_dir: Path, name: str) -> bytes:
    """A key of the deployment that stands in a file in hex. Raises OperatorError."""
    path = secrets_dir / name
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise OperatorError(f"The secret {path} cannot be read: start the stack once, it makes one.") from error
