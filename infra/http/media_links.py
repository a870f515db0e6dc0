"""Links to bytes that work without a token until they expire: the account, the asset and the time are signed."""

from __future__ import annotations

from urllib.parse import urlencode

from infra.clock import Clock
from infra.http.links import media_path
from infra.http.signing import Signer, open_signer
from infra.settings import Settings

LINK_TTL_S = 900
SHOWN_TTL_S = 24 * 3600
_ROUND_S = 3600
_PURPOSE = "media"


def open_links(settings: Settings, clock: Clock) -> MediaLinks:
    """The links of this deployment. Raises OperatorError where its secret is missing."""
    return MediaLinks(settings.gateway.base_url, open_signer(settings), clock)


class MediaLinks:
    """Signs links and knows them again."""

    def __init__(self, base_url: str, signer: Signer, clock: Clock) -> None:
        self._base_url, self._signer, self._clock = base_url, signer, clock

    def signed(self, account: str, asset: str) -> str:
        """A link to the bytes that works without a token for LINK_TTL_S seconds."""
        return self._link(account, asset, self._now_s() + LINK_TTL_S)

    def shown(self, account: str, asset: str) -> str:
        """The link that contracts show: it works for a day, at least, and is the same in all answers of an hour."""
        ends_s = -(-self._now_s() // _ROUND_S) * _ROUND_S + SHOWN_TTL_S
        return self._link(account, asset, ends_s)

    def is_signed(self, account: str, asset: str, expires_s: int, signature: str) -> bool:
        """Whether this deployment has signed the link."""
        return self._signer.is_signed(_PURPOSE, _signed_text(account, asset, expires_s), signature)

    def has_expired(self, expires_s: int) -> bool:
        """Whether the time of a link is over."""
        return expires_s * 1000 < self._clock.now_ms()

    def _link(self, account: str, asset: str, expires_s: int) -> str:
        signature = self._signer.sign(_PURPOSE, _signed_text(account, asset, expires_s))
        query = urlencode({"expires": expires_s, "signature": signature})
        return f"{self._base_url}{media_path(account)}/{asset}?{query}"

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000


def _signed_text(account: str, asset: str, expires_s: int) -> bytes:
    return f"{account}\n{asset}\n{expires_s}".encode()
