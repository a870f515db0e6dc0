"""Limits at the gateway: how often a caller may ask. Approximate, never the ledger (design section 2, point 23).

The windows are those of the `limits` library; its moving window asks a storage for two things, and ours answers them in
constant time in memory without threads (the library's own copies a list and starts a timer thread for each hit). With
`store_uri` the windows stand in a shared store instead, which more than one gateway needs (`infra.http.shared_limits`).
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Literal, NamedTuple

from limits import RateLimitItemPerSecond
from limits.storage import MovingWindowSupport, Storage
from pydantic import Field, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import OperatorError
from infra.http.shared_limits import SharedWindows, StoreAway
from schemas.wire.surface import Limit

_KEYS_MAX = 50_000


class LimitSettings(BaseSettings):
    """Limits of the native surface, from `DARKROOM_LIMITS__*`: requests a window of `window_s`, per account.

    `amounts` changes the documented amounts of contracts' limits by their names, `guest_jobs_a_day` is what all guests
    of one address may submit together. `gateways` is how many gateway processes the deployment runs; more than one
    needs `store_uri` (as the `limits` library writes it, `redis://host:6379`). A store that does not answer within
    `store_timeout_s` is left alone for a moment, and each gateway counts by itself.
    """

    model_config = SettingsConfigDict(env_prefix="DARKROOM_LIMITS__", frozen=True, extra="ignore")

    window_s: int = Field(default=60, ge=1, le=3600)
    requests: int = Field(default=300_000, ge=1)
    uploads: int = Field(default=12_000, ge=1)
    amounts: Mapping[str, PositiveInt] = {}
    guest_jobs_a_day: int = Field(default=30, ge=1)
    gateways: int = Field(default=1, ge=1)
    store_uri: str | None = None
    store_timeout_s: float = Field(default=0.5, gt=0)


class Standing(NamedTuple):
    """How a caller stands after a request: `reset_s` counts until the window has room again (0: it has).

    `oldest_ends_s` is when (seconds since 1970) the oldest request that counts leaves the window.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    oldest_ends_s: int = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit-*` of the answer, and `Retry-After` when the request was turned away."""
        headers = [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset_s),
        ]
        return headers if self.allowed else [*headers, (b"retry-after", b"%d" % max(1, self.reset_s))]


class WindowStorage(Storage, MovingWindowSupport):
    """Moving windows in memory: a queue of times per key, old ones leave when the key is next asked for."""

    STORAGE_SCHEME: list[str] | None = None  # made here, never by URI

    def __init__(self, now_s: Callable[[], float] = time.time, keys_max: int = _KEYS_MAX) -> None:
        self._now_s, self._keys_max = now_s, keys_max
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        super().__init__()

    def hit(self, key: str, limit: int, expiry: int, amount: int = 1) -> tuple[bool, int, float]:
        """`acquire_entry` and `get_moving_window` in one: (allowed, number of entries, time of the oldest)."""
        now_s = self._now_s()
        times = self._times.get(key)
        if times is None:
            times = self._times[key] = deque()
            if len(self._times) > self._keys_max:
                self._times.popitem(last=False)
        else:
            self._times.move_to_end(key)
            _forget(times, now_s - expiry)
        allowed = len(times) + amount <= limit
        if allowed:
            times.extend([now_s] * amount)
        return allowed, len(times), times[0] if times else now_s

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` if the window of `expiry` seconds has room for all of it."""
        return self.hit(key, limit, expiry, amount)[0]

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """(time of the oldest entry, number of entries)."""
        now_s = self._now_s()
        times = self._times.get(key)
        if times is not None:
            _forget(times, now_s - expiry)
        return (times[0], len(times)) if times else (now_s, 0)

    @property
    def base_exceptions(self) -> type[Exception]:
        return KeyError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        self._times.setdefault(key, deque()).extend([self._now_s()] * amount)
        return self.get(key)

    def get(self, key: str) -> int:
        return len(self._times.get(key, ()))

    def get_expiry(self, key: str) -> float:
        return self._now_s()

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._times)
        self._times.clear()
        return count

    def clear(self, key: str) -> None:
        self._times.pop(key, None)


def _forget(times: deque[float], until_s: float) -> None:
    while times and times[0] <= until_s:
        times.popleft()


class _Window(NamedTuple):
    """A limit as the library writes it, and its numbers, which the library works out anew whenever it is asked."""

    item: RateLimitItemPerSecond
    amount: int
    window_s: int


def _window(amount: int, window_s: int) -> _Window:
    return _Window(RateLimitItemPerSecond(amount, window_s), amount, window_s)


class Limiter:
    """Counts requests per name of a limit and caller."""

    def __init__(self, settings: LimitSettings, now_s: Callable[[], float] = time.time) -> None:
        """Raises OperatorError for more than one gateway without a shared store, and for a store of no known kind."""
        if settings.gateways > 1 and settings.store_uri is None:
            raise OperatorError(
                f"{settings.gateways} gateways need a shared store for their limits: set DARKROOM_LIMITS__STORE_URI."
            )
        self._now_s = now_s
        self._amounts = {"guest-jobs-a-day": settings.guest_jobs_a_day, **settings.amounts}
        self._memory = WindowStorage(now_s)
        self._shared = (
            None if settings.store_uri is None else SharedWindows(settings.store_uri, settings.store_timeout_s)
        )
        self._windows = {
            "requests": _window(settings.requests, settings.window_s),
            "uploads": _window(settings.uploads, settings.window_s),
        }

    async def hit(self, name: str, caller: str) -> Standing:
        """Count one request of `caller` in the window `name` of the settings."""
        return await self._hit(self._windows[name], name, caller)

    async def hit_limit(self, limit: Limit, caller: str) -> Standing:
        """Count one request of `caller` in a contract's window."""
        window = self._windows.get(limit.name)
        if window is None:
            amount = self._amounts.get(limit.name, limit.amount)
            window = self._windows[limit.name] = _window(amount, limit.window_s)
        return await self._hit(window, limit.name, caller)

    async def close(self) -> None:
        """End the connections to a shared store."""
        if self._shared is not None:
            await self._shared.close()

    async def _hit(self, window: _Window, name: str, caller: str) -> Standing:
        if self._shared is not None:
            try:
                return self._standing(window, *await self._shared.hit(window.item, name, caller))
            except StoreAway:
                pass  # approximate anyway: until it answers again this gateway counts by itself
        allowed, count, oldest_s = self._memory.hit(f"{name}/{caller}", window.amount, window.window_s)
        return self._standing(window, allowed, window.amount - count, oldest_s + window.window_s)

    def _standing(self, window: _Window, allowed: bool, remaining: int, reset_at_s: float) -> Standing:
        reset_s = 0 if remaining else max(0, math.ceil(reset_at_s - self._now_s()))
        return Standing(allowed, window.amount, remaining, reset_s, math.ceil(reset_at_s))


class GatewayLock:
    """Keeps a second gateway of the same part off the same data directory while limits stand in memory."""

    def __init__(self, data_dir: Path, part: Literal["all", "ingest", "api"], settings: LimitSettings) -> None:
        self._path = data_dir / "run" / f"gateway-{part}.lock"
        self._needed = settings.store_uri is None
        self._file: IO[str] | None = None

    def __enter__(self) -> GatewayLock:
        if not self._needed:
            return self
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise OperatorError(
                f"Another gateway serves {self._path.parent.parent}: stop it, or set DARKROOM_LIMITS__STORE_URI"
                " so that both share their limits."
            ) from error
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
