"""Which addresses a client may have us connect to: those of the public internet, and no other. Pure.

By the IANA registries of special-purpose addresses (RFC 6890 and its updates), written out because the standard
library's own idea of "global" changes between its releases. Of IPv6 only what is assigned as global unicast is public:
that leaves out loopback, link-local, unique local, multicast, and every form that carries an IPv4 address (mapped,
compatible, NAT64) but for 6to4 and Teredo, which are named.
"""

from __future__ import annotations

import ipaddress

_PRIVATE_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by a provider's customers
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's own service behind an address that looks public
        "169.254.0.0/16",  # link-local, metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)


def is_public(address: str) -> bool:
    """Whether a numeric address belongs to the public internet; False too for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in network for network in _PRIVATE_V4)
    if found.scope_id is not None or found not in _UNICAST_V6:
        return False
    return not any(found in network for network in _SPECIAL_V6)
