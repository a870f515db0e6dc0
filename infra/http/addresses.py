"""Where a request comes from: the TCP peer, or what a trusted proxy says of it.

The server in front of the application (uvicorn, told by `server_arguments`) replaces the peer by `X-Forwarded-For` only
where the peer is a proxy of the settings, and takes the last address in it that is none. Addresses are kept and counted
as keyed hashes only, under a key that serves nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from starlette.types import Scope

SECRET = "address.key"  # nosec B105 # a file's name, no secret
UNKNOWN = "unknown"
_CHARS = 26  # 130 bits in base32
_CACHED_MAX = 10_000
_PEER_CHARS_MAX = 64  # no address is longer; what a proxy forwards may be


def server_arguments(trusted_proxies: Sequence[str]) -> dict[str, Any]:
    """Arguments of `uvicorn.Config`; without trusted proxies no forwarded header counts."""
    return {"proxy_headers": bool(trusted_proxies), "forwarded_allow_ips": list(trusted_proxies)}


def client_address(scope: Scope) -> str:
    """The client's IP address in canonical form, an IPv4 address always as such; `unknown` where there is none."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0] if client else "")
    except ValueError:
        return UNKNOWN
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


class AddressHasher:
    """Keyed hashes of addresses: equal for equal addresses, and nobody without the key can tell whose they are."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: OrderedDict[str, str] = OrderedDict()

    def of(self, scope: Scope) -> str:
        """The hash of the request's address: `addr_` and 26 characters."""
        client = scope.get("client")
        peer = client[0][:_PEER_CHARS_MAX] if client else UNKNOWN
        known = self._known.get(peer)
        if known is None:
            digest = hmac.new(self._key, client_address(scope).encode(), hashlib.sha256).digest()
            known = self._known[peer] = "addr_" + base64.b32encode(digest).decode().lower()[:_CHARS]
            if len(self._known) > _CACHED_MAX:
                self._known.popitem(last=False)
        return known
