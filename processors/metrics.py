"""What a processor tells Prometheus about its stages."""

from prometheus_client import Counter, Gauge, Histogram

COMMANDS = Counter("darkroom_commands_decided_total", "Commands decided in committed transactions")
EVENTS = Counter("darkroom_events_appended_total", "Events appended in committed transactions")
REFUSALS = Counter("darkroom_commands_refused_total", "Commands refused, by reason", ["reason"])
TRANSACTIONS = Counter("darkroom_transactions_committed_total", "Committed transactions")
TRANSACTION_SECONDS = Histogram(
    "darkroom_transaction_seconds",
    "Time from the first Produce to the answer of EndTxn",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
BATCH_COMMANDS = Histogram(
    "darkroom_transaction_commands", "Commands in a transaction", buckets=(1, 2, 5, 10, 50, 100, 500, 1000)
)
TAKEOVERS = Counter("darkroom_takeovers_total", "Partitions taken over")
OWNER_FAILURES = Counter("darkroom_owner_failures_total", "Owners that ended with an error and were made anew")
HOLES = Counter("darkroom_command_holes_total", "Gaps in the offsets of `commands` that had to be read again")
TROUBLES = Counter("darkroom_commands_in_trouble_total", "Commands unreadable or quarantined", ["kind"])
STOPPED = Gauge("darkroom_partition_stopped", "1 while too many troubles hold the partition", ["partition"])
STATE_RECORDS = Gauge("darkroom_state_records", "Records in the decision state", ["partition"])
