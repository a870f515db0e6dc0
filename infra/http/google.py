"""Signing in with Google: an ID token becomes a user (OpenID Connect Core 3.1.3.7).

The token is signed by a key of Google's published set (a JWK Set), issued by `DARKROOM_GOOGLE_ISSUER` for our
`DARKROOM_GOOGLE_CLIENT_ID`, and in its time. RSA keys verify RS256, and EC keys verify ES256 where the set says so: the
algorithm is the key's, never the token's, so a public key is no secret of an HMAC. A `nonce` is not looked at, because
no page of ours asks for one; who may replay a token within its hour has stolen it from the browser.

The key set is fetched from `DARKROOM_GOOGLE_JWKS_URL` at the first login and kept as long as its answer says, 5 minutes
at least and a day at most. A token with a key that is not in the set may be newer than the set, so that is fetched
again, but never twice in a minute: whoever makes up key names costs Google one request a minute. All that wait share a
fetch. Where Google does not answer, logins that need the set fail at once for the next 5 s, then it is asked again.

    no set, or its time is over --fetch--> set --token of an unknown key, a minute later--> fetch --> set or refusal
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import httpx
import jwt
import msgspec

from infra.http.tokens import TOKEN_BYTES_MAX, TokenInvalid, check_times
from infra.settings import Settings

ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
KEPT_S = (300, 86_400)
REFETCH_S = 60.0
RETRY_S = 5.0
LEEWAY_S = 30
TTL_MAX_S = 86_400
_FETCH_LIMIT_S = 5.0
_SET_BYTES_MAX = 256 * 1024
_KEYS_MAX = 100
_RSA_BITS_MIN = 2048
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,;])")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,255}")
_OPTIONS: Any = {
    "require": ["iss", "aud", "sub", "exp", "iat"],
    "verify_aud": False,  # `_claims` does: the library would take a list with others in it
    "verify_exp": False,  # `check_times` does, by our clock
    "verify_iat": False,
    "verify_nbf": False,
}


class LoginRefused(Exception):
    """The credential does not count; the message is one sentence for the user."""


class IdentityProviderUnavailable(Exception):
    """Whether the credential counts cannot be told now; the same login may work later. One sentence for the user."""


class GoogleUser(msgspec.Struct, frozen=True):
    """Whom Google vouches for. `email` only where Google has verified it; neither it nor `name` identifies anybody."""

    id: str
    email: str | None
    name: str | None

    @property
    def subject(self) -> str:
        """The subject of the user's account."""
        return f"google:{self.id}"


class _Key(NamedTuple):
    algorithm: str
    key: Any


class GoogleVerifier:
    """Verifies ID tokens; one per gateway, safe for concurrent requests."""

    def __init__(
        self,
        client_id: str,
        jwks_url: str,
        issuer: str,
        *,
        now_s: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client_id, self._now_s = client_id, now_s
        # Google's own documentation promises either form.
        self._issuers = [issuer, issuer.removeprefix("https://")]
        self._keys = _KeySet(jwks_url, monotonic)

    @property
    def client_id(self) -> str:
        """Under which Google knows this deployment; no secret."""
        return self._client_id

    async def verify(self, credential: str) -> GoogleUser:
        """The user. Raises LoginRefused and IdentityProviderUnavailable."""
        if len(credential) > TOKEN_BYTES_MAX:
            raise LoginRefused(f"The credential is longer than {TOKEN_BYTES_MAX} characters.")
        found = await self._keys.key(_named_key(credential))
        if found is None:
            raise LoginRefused("The credential is not signed by a key of Google; sign in again.")
        return _user(self._claims(credential, found))

    def _claims(self, credential: str, found: _Key) -> Mapping[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(credential, found.key, algorithms=[found.algorithm], options=_OPTIONS)
        except (jwt.PyJWTError, ValueError) as error:
            raise LoginRefused("The credential is not valid for this service; sign in again.") from error
        if claims["iss"] not in self._issuers or claims["aud"] != self._client_id:
            raise LoginRefused("The credential was made by or for another service; sign in again.")
        try:
            check_times(claims, self._now_s(), TTL_MAX_S, LEEWAY_S)
        except TokenInvalid as error:
            raise LoginRefused("The credential has expired or is not valid yet; sign in again.") from error
        return claims


class _KeySet:
    """The published keys, as they were fetched last."""

    def __init__(self, url: str, monotonic: Callable[[], float]) -> None:
        self._url, self._monotonic = url, monotonic
        self._keys: Mapping[str, _Key] = {}
        self._fetched_at_s = self._failed_at_s = self._ends_at_s = float("-inf")
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> _Key | None:
        """The key of the name; None where the newest set that may be asked for has none."""
        if self._is_due(kid):
            async with self._fetching:
                if self._is_due(kid):  # not fetched by whoever was before us
                    await self._fetch()
        return self._keys.get(kid)

    def _is_due(self, kid: str) -> bool:
        now_s = self._monotonic()
        return now_s >= self._ends_at_s or (kid not in self._keys and now_s >= self._fetched_at_s + REFETCH_S)

    async def _fetch(self) -> None:
        if self._monotonic() < self._failed_at_s + RETRY_S:
            raise _unavailable()
        try:
            async with asyncio.timeout(_FETCH_LIMIT_S):
                content, kept_s = await _fetched(self._url)
            keys = _keys_in(content)
        except (httpx.HTTPError, ValueError, RecursionError, TimeoutError) as error:
            self._failed_at_s = self._monotonic()
            raise _unavailable() from error
        self._keys, self._fetched_at_s = keys, self._monotonic()
        self._ends_at_s = self._fetched_at_s + kept_s


def google_verifier(settings: Settings) -> GoogleVerifier | None:
    """The verifier of this deployment; None where it has no client id: that way of login has to say so."""
    if settings.google_client_id is None:
        return None
    return GoogleVerifier(settings.google_client_id, settings.google_jwks_url, settings.google_issuer)


async def _fetched(url: str) -> tuple[bytes, int]:
    """The key set and how long it may be kept, in seconds. Raises httpx.HTTPError and ValueError."""
    content = b""
    # A proxy that the environment names is for the world outside.
    outside = url.startswith("https:")
    async with (
        httpx.AsyncClient(timeout=_FETCH_LIMIT_S, follow_redirects=False, trust_env=outside) as client,
        client.stream("GET", url, headers={"accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:
            raise ValueError(f"the status is {answer.status_code}")
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > _SET_BYTES_MAX:
                raise ValueError("the key set is too long")
        max_age = _MAX_AGE.search(answer.headers.get("cache-control", "").lower())
    return content, min(max(KEPT_S[0], int(max_age[1]) if max_age else 0), KEPT_S[1])


def _keys_in(content: bytes) -> Mapping[str, _Key]:
    """The usable keys by their names; others are left out. Raises ValueError where none is left."""
    document = json.loads(content)
    listed = document.get("keys") if isinstance(document, dict) else None
    keys: dict[str, _Key] = {}
    for written in listed[:_KEYS_MAX] if isinstance(listed, list) else ():
        key = _key(written) if isinstance(written, dict) else None
        if key is not None:
            keys.setdefault(written["kid"], key)
    if not keys:
        raise ValueError("the key set holds no key that can be used")
    return keys


def _key(written: dict[str, Any]) -> _Key | None:
    """A public key that signs, with its one algorithm. An RSA key may leave that out, an EC key has to name it."""
    algorithm = ALGORITHMS.get(str(written.get("kty")))
    named = written.get("alg", "RS256")
    if algorithm is None or named != algorithm or written.get("use", "sig") != "sig" or "d" in written:
        return None
    if not isinstance(written.get("kid"), str):
        return None
    try:
        key = jwt.PyJWK(written, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return None if algorithm == "RS256" and key.key_size < _RSA_BITS_MIN else _Key(algorithm, key)


def _named_key(credential: str) -> str:
    """The name of the key that the header says; only to look the key up by."""
    try:
        kid = jwt.get_unverified_header(credential).get("kid")
    except (jwt.PyJWTError, ValueError) as error:
        raise LoginRefused("The credential is no ID token of Google; sign in again.") from error
    if not isinstance(kid, str):
        raise LoginRefused("The credential is no ID token of Google; sign in again.")
    return kid


def _user(claims: Mapping[str, Any]) -> GoogleUser:
    named = claims["sub"]
    if not isinstance(named, str) or _SUBJECT.fullmatch(named) is None:
        raise LoginRefused("The credential names nobody; sign in again.")
    email = _text(claims, "email") if claims.get("email_verified") is True else None
    return GoogleUser(named, email, _text(claims, "name"))


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    """Short text that can be shown and stored, else nothing."""
    value = claims.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= 320 and value.isprintable() else None


def _unavailable() -> IdentityProviderUnavailable:
    return IdentityProviderUnavailable("Google cannot be asked right now; try again in a moment.")
