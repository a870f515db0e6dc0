"""Read model `partitions`: all plans of each partition, the one in force, and the version of its own stream.

Prices and terms shown at read time come from the plan that the account's own decider uses (design section 2, point 6);
those of a charge from the plan that it names.
"""

from collections.abc import Sequence
from typing import Any

from projections.row_base import Logged, Rows, rows_of
from projections.rows import PartitionChange, PublishedPlan
from schemas.events import PlanPublished
from schemas.identifiers import is_partition_stream

NAME = "partitions"


def fold_partitions(batch: Sequence[Logged]) -> Rows:
    """The newest plan and version of each partition whose own stream is in the batch, and every plan published."""
    changes: dict[int, dict[str, Any]] = {}
    plans: dict[tuple[int, int], PublishedPlan] = {}
    for logged in batch:
        event, data = logged.event, logged.event.data
        if not is_partition_stream(event.account):
            continue
        first = {"partition": logged.partition, "first_version": event.version, "seen": 0}
        columns = changes.setdefault(logged.partition, first)
        columns["seen"] += 1
        columns["version"] = event.version
        if type(data) is PlanPublished:
            columns["plan"] = data.plan
            columns["plan_version"] = data.plan.version
            published = PublishedPlan(
                partition=logged.partition,
                plan_version=data.plan.version,
                plan=data.plan,
                published_ms=event.time_ms,
                position=event.position,
            )
            plans.setdefault((logged.partition, data.plan.version), published)
    return rows_of([PartitionChange(**columns) for columns in changes.values()], list(plans.values()))
