"""What the auditor tells Prometheus. The first three make an alarm: each is 0 when all is well."""

from prometheus_client import Counter, Gauge

DRIFT = Gauge("ledger_drift_units", "Units by which balances differ from what the events add up to, by where.", ("of",))
BEHIND = Gauge(
    "positions_behind",
    "Offsets between a position and the end of what it follows: the processors' behind the commands, the auditor's and"
    " each read model's behind the last event that is decided.",
    ("of", "partition"),
)
VIOLATIONS = Gauge("invariant_violations", "Violations that stand, by law.", ("law",))
EVENTS = Counter("darkroom_audited_events", "Events that the auditor has checked.")
ROWS = Gauge("darkroom_audited_rows", "Rows of read models that the last comparison looked at.")
FAULTS = Counter("darkroom_audit_faults", "Steps that failed because a server did not answer.", ("of",))
