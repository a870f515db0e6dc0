"""Row changes of the read models `balances` and `partitions`. See `projections.rows` for what a change is."""

from projections.row_base import Row
from schemas.plans import Plan


class AccountChange(Row, frozen=True, kw_only=True):
    """Amounts to add to an account's totals; sums up `seen` events, from `first_version` to `version`."""

    account: str
    first_version: int
    version: int
    seen: int
    position: str
    product: str | None = None
    plan: str | None = None
    opened_ms: int | None = None
    since_ms: int | None = None
    erased_ms: int | None = None
    granted: int = 0
    regenerated: int = 0
    refunded: int = 0
    captured: int = 0
    reserved: int = 0
    expired: int = 0


class AccountDay(Row, frozen=True, kw_only=True):
    """What to add to the account's sums of the UTC day that began at `day_ms`; `reserved` may fall."""

    account: str
    day_ms: int
    granted: int = 0
    regenerated: int = 0
    refunded: int = 0
    captured: int = 0
    reserved: int = 0
    expired: int = 0
    jobs_submitted: int = 0
    jobs_succeeded: int = 0
    jobs_failed: int = 0
    jobs_canceled: int = 0
    jobs_expired: int = 0


class WindowChange(Row, frozen=True, kw_only=True):
    """Units to add to the window of `kind` that began at `start_ms`; a newer window replaces an older one."""

    account: str
    kind: str
    start_ms: int
    used: int


class LotChange(Row, frozen=True, kw_only=True):
    """Units to add to what is left of a lot; `closed`: nothing is left of it, whatever comes."""

    account: str
    lot: str
    version: int | None = None
    granted: int | None = None
    expires_ms: int | None = None
    priority: int | None = None
    units_left: int = 0
    closed: bool = False


class PlanTaken(Row, frozen=True, kw_only=True):
    """From `version` on the account stands under the plan."""

    account: str
    version: int
    plan: str
    plan_version: int
    time_ms: int
    position: str


class LedgerLine(Row, frozen=True, kw_only=True):
    """One booking; `balance` is what could be spent after it.

    `windows` and `lots` (JSON, as in the event) are units taken (reserved) or given back (released, refunded).
    """

    account: str
    version: int
    kind: str
    amount: int
    balance: int
    time_ms: int
    position: str
    job: str | None = None
    plan_version: int | None = None
    reason: str | None = None
    since_ms: int | None = None
    lot: str | None = None
    windows: str | None = None
    lots: str | None = None


class Threshold(Row, frozen=True, kw_only=True):
    """The use of a window, or of all units ever added, came to `percent` or past it."""

    account: str
    version: int
    measure: str
    percent: int
    used: int
    limit_units: int
    resets_ms: int | None
    time_ms: int
    position: str


class PartitionChange(Row, frozen=True, kw_only=True):
    """What a partition's own stream said; `plan_version` None leaves the one in force."""

    partition: int
    first_version: int
    version: int
    seen: int
    plan_version: int | None = None
    plan: Plan | None = None


class PublishedPlan(Row, frozen=True, kw_only=True):
    """A plan that came into force in the partition, whole."""

    partition: int
    plan_version: int
    plan: Plan
    published_ms: int
    position: str
