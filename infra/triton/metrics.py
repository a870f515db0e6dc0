"""What the client of Triton tells Prometheus. `server` is the URL of the settings."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

REACHABLE = Gauge("darkroom_triton_reachable", "Whether the server answers health probes", ["server"])
BREAKER = Gauge("darkroom_triton_breaker", "Circuit breaker: 0 closed, 1 half-open, 2 open", ["server", "model"])
FAILOVERS = Counter(
    "darkroom_triton_failovers_total", "Calls that one server did not take and that were offered to the next", ["model"]
)
CRASHES = Counter("darkroom_triton_crashes_total", "Calls whose engine died with them in it", ["server", "model"])
RELOADS = Counter("darkroom_triton_reloads_total", "Models loaded anew after a crash", ["server", "model", "outcome"])
JOINED = Counter("darkroom_triton_joined_total", "Calls that travelled in the call of another", ["model"])
