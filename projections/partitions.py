"""Read model `partitions`: the plan in force in each partition, and the version of the partition's own stream.

Prices and terms shown at read time come from the plan that the account's own decider uses (design section 2, point 6).
"""

from collections.abc import Sequence
from typing import Any

from projections.rows import Logged, PartitionChange, Rows, rows_of
from schemas.events import PlanPublished
from schemas.identifiers import is_partition_stream

NAME = "partitions"


def fold_partitions(batch: Sequence[Logged]) -> Rows:
    """The newest plan and version of each partition whose own stream is in the batch."""
    changes: dict[int, dict[str, Any]] = {}
    for logged in batch:
        event = logged.event
        if not is_partition_stream(event.account):
            continue
        first = {"partition": logged.partition, "first_version": event.version, "seen": 0}
        columns = changes.setdefault(logged.partition, first)
        columns["seen"] += 1
        columns["version"] = event.version
        if type(event.data) is PlanPublished:
            columns["plan"] = event.data.plan
            columns["plan_version"] = event.data.plan.version
    return rows_of([PartitionChange(**columns) for columns in changes.values()])
