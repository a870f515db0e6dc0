"""Free ports for the local servers, outside the range from which the kernel serves outgoing connections."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from infra.local.errors import LocalError

_LOWEST = 12_000
_TRIES = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody could listen there now. Connections that linger after a close do not count."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int, taken: frozenset[int] = frozenset()) -> tuple[int, ...]:
    """``count`` different free ports, none of them in ``taken``."""
    highest = _first_ephemeral() - 1
    found: list[int] = []
    for _ in range(_TRIES + 20 * count):
        if len(found) == count:
            break
        port = random.randint(_LOWEST, highest)  # nosec B311 # a port is no secret
        if port not in taken and port not in found and is_free(port):
            found.append(port)
    if len(found) < count:
        raise LocalError(f"No {count} free ports between {_LOWEST} and {highest}: stop other servers on this machine.")
    return tuple(found)


def _first_ephemeral() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return first if first > _LOWEST + 1_000 else 32_768
