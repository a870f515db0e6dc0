"""Bearer tokens: JWT signed with EdDSA (Ed25519), the only algorithm that is ever accepted.

Keys are private keys in PEM at `<secrets>/jwt/<kid>.pem`; whoever only verifies uses their public halves. Claims: `iss`
"darkroom", `aud` the deployment, `sub` the subject, `product`, `plan`, `role` (`user` or `admin`), `workspace`, `jti`,
`iat`, `exp`. Reads like a library of its own: no HTTP here, so that command line tools load it quickly.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from infra.errors import OperatorError
from schemas.identifiers import account_id

ISSUER = "darkroom"
ALGORITHM = "EdDSA"
LEEWAY_S = 5
TOKEN_BYTES_MAX = 4096
ADMIN = "admin"
_RELOAD_S = 5.0
_CACHED_MAX = 20_000


class TokenInvalid(Exception):
    """The token does not count; the message is one sentence that may be shown to the client."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the token says. `account` is the keyed hash of product and subject."""

    account: str
    product: str
    subject: str
    plan: str = "default"
    role: str = "user"
    workspace: str | None = None
    token_id: str | None = None

    @property
    def is_admin(self) -> bool:
        """Whether operators' operations are open to the caller."""
        return self.role == ADMIN


class KeyFolder:
    """The signing keys of a deployment, read again when an unknown `kid` comes (at most every 5 s)."""

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._monotonic = folder, monotonic
        self._keys: dict[str, Ed25519PrivateKey] = {}
        self._read_at_s = float("-inf")

    def public_key(self, kid: str) -> Ed25519PublicKey | None:
        """The key named `kid`, or None. `kid` is only looked up, never used as a path."""
        if kid not in self._keys and self._monotonic() - self._read_at_s > _RELOAD_S:
            self._read()
        found = self._keys.get(kid)
        return None if found is None else found.public_key()

    def newest(self) -> tuple[str, Ed25519PrivateKey]:
        """The key to sign with: the last by name. Raises OperatorError where there is none."""
        self._read()
        if not self._keys:
            raise OperatorError(f"There is no signing key in {self._folder}: start the stack once, it makes one.")
        return max(self._keys.items())

    def _read(self) -> None:
        self._read_at_s = self._monotonic()
        keys = {}
        for path in sorted(self._folder.glob("*.pem")):
            key = load_pem_private_key(path.read_bytes(), password=None)
            if not isinstance(key, Ed25519PrivateKey):
                raise OperatorError(f"{path} is no Ed25519 private key: take it out of the folder.")
            keys[path.stem] = key
        self._keys = keys


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
) -> str:
    """A bearer token for `subject` of `product`, good for `ttl_s` seconds."""
    kid, key = keys.newest()
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": deployment,
        "sub": subject,
        "product": product,
        "plan": plan,
        "role": role,
        "jti": secrets.token_hex(8),
        "iat": now_s,
        "exp": now_s + ttl_s,
    }
    if workspace is not None:
        claims["workspace"] = workspace
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid})


class TokenVerifier:
    """Verifies tokens; what was verified is remembered by its hash until it ends, so that the hot path is a lookup."""

    def __init__(
        self, keys: KeyFolder, identifier_key: bytes, deployment: str, now_s: Callable[[], float] = time.time
    ) -> None:
        self._keys, self._identifier_key, self._deployment, self._now_s = keys, identifier_key, deployment, now_s
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    def verify(self, token: str) -> Caller:
        """The caller; raises TokenInvalid."""
        if len(token) > TOKEN_BYTES_MAX:
            raise TokenInvalid(f"The token is longer than {TOKEN_BYTES_MAX} characters.")
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._known.get(digest)
        if known is not None:
            if self._now_s() < known[1]:
                return known[0]
            del self._known[digest]
        claims = self._claims(token)
        caller = self._caller(claims)
        self._known[digest] = (caller, float(claims["exp"]) + LEEWAY_S)
        if len(self._known) > _CACHED_MAX:
            self._known.popitem(last=False)
        return caller

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            key = self._keys.public_key(kid) if isinstance(kid, str) else None
            if header.get("alg") != ALGORITHM or key is None:
                raise TokenInvalid("The token is not signed by a key of this deployment.")
            untimed = {
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            }  # `_check_times` does, by our clock
            options: Any = {"require": ["exp", "sub", "iss", "aud", "product"], **untimed}
            claims: dict[str, Any] = jwt.decode(
                token, key, algorithms=[ALGORITHM], audience=self._deployment, issuer=ISSUER, options=options
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise TokenInvalid("The token is not valid for this deployment.") from error
        self._check_times(claims)
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now_s = self._now_s()
        times = [claims["exp"], claims.get("nbf", 0), claims.get("iat", 0)]
        if not all(isinstance(time_s, int | float) and math.isfinite(time_s) for time_s in times):
            raise TokenInvalid("The token's times are no numbers.")
        if now_s >= times[0] + LEEWAY_S:
            raise TokenInvalid("The token has expired; get a new one.")
        if now_s < max(times[1:]) - LEEWAY_S:
            raise TokenInvalid("The token is not valid yet.")

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        product, subject = claims["product"], claims["sub"]
        workspace, plan, role = claims.get("workspace"), claims.get("plan", "default"), claims.get("role", "user")
        texts = (product, subject, plan, role, *(() if workspace is None else (workspace,)))
        if not all(isinstance(text, str) and text for text in texts) or ":" in product:
            raise TokenInvalid("The token names no usable product, subject, plan, role or workspace.")
        return Caller(
            account=account_id(self._identifier_key, product, subject),
            product=product,
            subject=subject,
            plan=plan,
            role=role,
            workspace=workspace,
            token_id=claims.get("jti"),
        )


def read_secret(secrets_dir: Path, name: str) -> bytes:
    """A key of the deployment that stands in a file in hex. Raises OperatorError."""
    path = secrets_dir / name
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise OperatorError(f"The secret {path} cannot be read: start the stack once, it makes one.") from error
