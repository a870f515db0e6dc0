"""Every fault that the nemesis can draw."""

from __future__ import annotations

from tests.chaos.faults.disk import FullDisk
from tests.chaos.faults.failpoints import failpoint_faults
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.kafka_wire import kafka_wire_faults
from tests.chaos.faults.members import ComeAndGo
from tests.chaos.faults.processes import process_faults
from tests.chaos.faults.servers import server_faults


def every_fault() -> tuple[Fault, ...]:
    """One of each, with detours that faults of the same server share. For one arena."""
    return (
        *process_faults(),
        *kafka_wire_faults(),
        *server_faults(),
        *failpoint_faults(),
        ComeAndGo(),
        FullDisk(),
    )
