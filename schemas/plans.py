"""The plan: what accounts open with, what jobs cost, how many may run (design section 2, points 6 and 13).

A plan travels whole in `publish-plan`, stands whole in `plan-published` and is kept in each partition's state, so an
old decision replays under its own prices. `version` grows with every change of content.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from schemas.amounts import WindowKind

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class WindowTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `limit` jobs in each UTC day or month."""

    kind: WindowKind
    limit: int


class RegenerationTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`units` credits each `every_ms`, up to `cap`."""

    units: int
    every_ms: int
    cap: int


class AccountTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one plan of one product grants; times in ms, counts in jobs, credits in whole units.

    `lane` is where jobs go that their model sends to `standard`. `weight` is the number of turns in a round of waiting
    accounts. `models_denied` and `param_limits` (greatest integer; 0 for a flag that must stay off) are entitlements.
    Results are kept `results_ttl_ms`, uploads `uploads_ttl_ms`; None: until they are deleted. With `reuse_ttl_ms` above
    zero, a job identical to an earlier one gets that one's result for nothing. `thresholds` are percentages of use
    that become events. `sample` names a picture that comes with the deployment, for jobs whose client gives none.
    """

    opening_credits: int = 0
    uses_balance: bool = True
    windows: tuple[WindowTerms, ...] = ()
    regeneration: RegenerationTerms | None = None
    in_flight_jobs_max: int = 8
    queued_jobs_max: int = 20_000
    wait_default_ms: int = 30_000
    idempotency_ttl_ms: int = 7 * DAY_MS
    queue_ttl_ms: int = DAY_MS
    lane: str | None = None
    weight: int = 1
    lane_in_flight_jobs_max: Mapping[str, int] = {}
    models_denied: tuple[str, ...] = ()
    param_limits: Mapping[str, int] = {}
    originals: Literal["keep", "purge"] = "keep"
    uploads_ttl_ms: int | None = None
    results_ttl_ms: int | None = None
    reuse_ttl_ms: int = 0
    thresholds: tuple[int, ...] = (80, 100)
    albums_max: int = 1_000
    sample: str | None = None


class CostRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base` units plus, for each named parameter, the units that its value (as text) adds."""

    base: int
    per: Mapping[str, Mapping[str, int]] = {}

    def price(self, params: Mapping[str, object]) -> int:
        """The price in units of a job with these validated parameters."""
        extra = 0
        for name, units_by_value in self.per.items():
            extra += units_by_value.get(str(params.get(name)), 0)
        return self.base + extra


class ModelTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the decider knows of a model: its engine, price, lane, limits and products (none named: all)."""

    engine: str
    engine_version: str
    lane: str
    cost: CostRule
    takes_input: bool
    run_deadline_ms: int = 120_000
    attempts_max: int = 3
    takes_mask: bool = False
    products: tuple[str, ...] = ()


class LeaseTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long an attempt may be silent: before a dispatcher took it, while it runs, and between two attempts."""

    start_ms: int = 60_000
    running_ms: int = 15_000
    retry_backoff_ms: int = 1_000
    engine_unavailable_retry_ms: int = 2_000
    engine_unavailable_waiting_max_ms: int = 20_000


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Terms per product and plan name, models per slug, leases, and released jobs at most per partition and lane."""

    version: int
    products: Mapping[str, Mapping[str, AccountTerms]]
    models: Mapping[str, ModelTerms]
    leases: LeaseTerms = LeaseTerms()
    lane_released_jobs_max: Mapping[str, int] = {}

    def terms(self, product: str, plan_name: str) -> AccountTerms | None:
        """The terms of a product's plan; an unknown plan name falls back to the product's `default`."""
        named = self.products.get(product)
        if named is None:
            return None
        return named.get(plan_name) or named.get("default")
