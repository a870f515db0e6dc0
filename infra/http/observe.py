"""The outermost layer of every HTTP application: trace, metrics, logs of accesses, headers of every answer, the ports.

One pure ASGI callable with one wrapped `send`, because the hot path pays for each layer. An answer's headers get what
the gate and the handlers noted in the scope, the trace, and the fixed security headers.
"""

from __future__ import annotations

import sys
import time
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.audit import AccessTrail
from infra.http.headers import headers_of
from infra.http.routing import operation_of
from infra.http.traces import trace_from
from infra.http.wording import surface_of
from schemas.wire.surface import Surface

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FIXED_HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
]
# Of a contract's answers, where they do not say otherwise: what they hold is no page and belongs in no frame.
_GUARDS: dict[bytes, bytes] = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"cross-origin-opener-policy": b"same-origin",
}
_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
_QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class HttpMetrics:
    """Requests by operation and status, and how long they took."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = Counter(
            "darkroom_http_requests", "HTTP requests answered.", ("operation", "status"), registry=registry
        )
        self._seconds = Histogram(
            "darkroom_http_request_seconds", "Time to the answer.", ("operation",), buckets=_SECONDS, registry=registry
        )
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}

    def note(self, operation: str, status: int, seconds: float) -> None:
        """Count one answer."""
        pair = self._known.get((operation, status))
        if pair is None:
            pair = (self._requests.labels(operation, str(status)), self._seconds.labels(operation))
            self._known[operation, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)


class AccessLog:
    """One JSON line a request, in the shape of all other logs; written twice a second in one piece."""

    def __init__(self, write: Callable[[bytes], object] | None = None, every_s: float = 0.5) -> None:
        self._write = write or _write_to_stderr
        self._every_s = every_s
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode
        self._second, self._second_text = 0, ""

    def note(self, method: str, path: str, status: int, seconds: float, trace_id: str, account: str | None) -> None:
        """Queue the line; paths stand without their query."""
        if not self._lines:
            get_running_loop().call_later(self._every_s, self.flush)
        line = {
            "event": "request",
            "logger": "infra.http",
            "level": "info" if status < 500 else "error",
            "timestamp": self._timestamp(),
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
            "trace_id": trace_id,
            "account": account,
        }
        self._lines.append(self._encode(line) + b"\n")

    def _timestamp(self) -> str:
        """Now in RFC 3339 with milliseconds; the text of a second is made once."""
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{nanosecond // 1_000_000:03d}Z"

    def flush(self) -> None:
        """Write what waits."""
        if self._lines:
            self._write(b"".join(self._lines))
            self._lines.clear()


def _missing_guards(scope: Scope, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The guards that the answer does not set itself."""
    named = {name for name, _ in headers}
    guards = [guard for guard in _GUARDS.items() if guard[0] not in named]
    return [*guards, _TRANSPORT] if scope.get("scheme") == "https" else guards


def _write_to_stderr(lines: bytes) -> None:
    sys.stderr.buffer.write(lines)
    sys.stderr.buffer.flush()


class Observed:
    """Wraps an application; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        ports: Mapping[type[Any], Any],
        metrics: HttpMetrics,
        access_log: AccessLog | None,
        trail: AccessTrail | None = None,
        surfaces: tuple[Surface, ...] = (),
    ) -> None:
        """`ports` may be filled after this call, while the application starts."""
        self._surfaces = surfaces
        self._app, self._ports, self._metrics, self._access_log = app, ports, metrics, access_log
        self._trail = trail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin_s = time.perf_counter()
        trace = trace_from(headers_of(scope).get(b"traceparent"))
        scope["darkroom.trace"] = trace
        scope["darkroom.ports"] = self._ports
        scope["darkroom.surfaces"] = self._surfaces
        noted: list[tuple[bytes, bytes]] = [(b"traceparent", trace.traceparent.encode())]
        scope["darkroom.headers"] = noted
        status = 499  # what stands in the log when the client hung up before an answer began

        async def send_answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *noted, *_FIXED_HEADERS]
                if surface_of(scope) is not None:
                    message["headers"] += _missing_guards(scope, message["headers"])
            await send(message)

        try:
            await self._app(scope, receive, send_answer)
        except Exception:
            if not scope.get("darkroom.fault_answered"):  # else it is answered and logged
                raise
        finally:
            self._note(scope, status, time.perf_counter() - begin_s, trace.trace_id)

    def _note(self, scope: Scope, status: int, seconds: float, trace_id: str) -> None:
        operation = operation_of(scope)
        self._metrics.note("none" if operation is None else operation.name, status, seconds)
        path = scope["path"]
        if self._access_log is not None and path not in _QUIET_PATHS:
            caller = scope.get("darkroom.caller")
            account = None if caller is None else caller.account
            self._access_log.note(scope["method"], path, status, seconds, trace_id, account)
        if self._trail is not None:
            self._trail.note(scope, status)
