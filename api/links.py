"""Links to bytes that work without a token until they expire: the account, the asset and the time are signed."""

from __future__ import annotations

from urllib.parse import urlencode

from api.ports import ApiPorts

LINK_TTL_S = 900
_PURPOSE = "media"


def signed_url(ports: ApiPorts, account: str, asset: str) -> str:
    """A link to the bytes that works without a token for LINK_TTL_S seconds."""
    expires = ports.clock.now_ms() // 1000 + LINK_TTL_S
    signature = ports.signer.sign(_PURPOSE, _signed_text(account, asset, expires))
    return f"{ports.base_url}/v1/media/{account}/{asset}?{urlencode({'expires': expires, 'signature': signature})}"


def is_signed(ports: ApiPorts, account: str, asset: str, expires: int, signature: str) -> bool:
    """Whether this deployment has signed the link."""
    return ports.signer.is_signed(_PURPOSE, _signed_text(account, asset, expires), signature)


def _signed_text(account: str, asset: str, expires: int) -> bytes:
    return f"{account}\n{asset}\n{expires}".encode()
