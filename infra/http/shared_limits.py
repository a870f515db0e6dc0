"""Moving windows in a store that several gateways share (Redis or Valkey), by the `limits` library.

A store that does not answer stops nobody: limits are approximate and never part of the ledger, so each gateway then
counts by itself, and asks the store again a moment later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from limits import RateLimitItem
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.storage import storage_from_string

from infra.errors import OperatorError
from infra.logs import get_logger

_AWAY_S = 2.0
_CONNECTIONS_MAX = 16
_SCHEMES = {"redis": "redis", "rediss": "rediss", "redis+unix": "redis+unix", "memory": "memory"}
_SCHEMES |= {"valkey": "redis", "valkeys": "rediss", "valkey+unix": "redis+unix"}  # one protocol
_log = get_logger(__name__)


class StoreAway(Exception):
    """The store did not answer, or did not lately."""


class SharedWindows:
    """Windows in one store. Nothing is connected before the first request.

    A rush waits for one of a few connections and not for the store, which would count as away when it only has to
    shake a hundred hands at once.
    """

    def __init__(self, uri: str, timeout_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """A store that does not answer within `timeout_s` is away. Raises OperatorError for a URI of no known kind."""
        scheme, _, rest = uri.partition("://")
        if scheme not in _SCHEMES:
            raise OperatorError(f"DARKROOM_LIMITS__STORE_URI begins with one of {', '.join(_SCHEMES)}, not {scheme}.")
        options: dict[str, float | str | bool] = {}
        if scheme != "memory":
            options = {
                "implementation": "redispy",
                "socket_timeout": timeout_s,
                "socket_connect_timeout": timeout_s,
            }
        storage = storage_from_string(f"async+{_SCHEMES[scheme]}://{rest}", **options)
        assert isinstance(storage, Storage)
        self._storage, self._windows = storage, MovingWindowRateLimiter(storage)
        kinds = storage.base_exceptions
        self._faults: tuple[type[Exception], ...] = (
            *(kinds if isinstance(kinds, tuple) else (kinds,)),
            OSError,
            TimeoutError,
        )
        self._monotonic, self._away_until_s = monotonic, float("-inf")
        self._connections = asyncio.Semaphore(_CONNECTIONS_MAX)

    async def hit(self, item: RateLimitItem, name: str, caller: str) -> tuple[bool, int, float]:
        """Count a request: (allowed, remaining, when the window has room again in s). Raises StoreAway."""
        async with self._connections:
            if self._monotonic() < self._away_until_s:
                raise StoreAway
            try:
                allowed = await self._windows.hit(item, name, caller)
                reset_at_s, remaining = await self._windows.get_window_stats(item, name, caller)
            except self._faults as error:
                self._away_until_s = self._monotonic() + _AWAY_S
                _log.warning("limit-store-away", reason=str(error))
                raise StoreAway from error
        return allowed, remaining, reset_at_s

    async def close(self) -> None:
        """End the connections."""
        bridge = getattr(self._storage, "bridge", None)  # the library has no word for it
        if bridge is not None:
            await bridge.get_connection().aclose()
