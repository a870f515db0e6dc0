"""What is known of a partition while it is audited."""

import hashlib
from collections.abc import MutableMapping

from processors.accounts.state import Progress
from processors.audit import PartitionAudit, Violation
from processors.audit_spill import InMemory, Shelf
from processors.rebuild import Fold

FINGERPRINT_BYTES = 16
_EVENTS_A_WRITE = 1_000


class AuditedPartition:
    """What the audit of one partition found; `audit` holds the books, `fold` the state as of `progress`.

    `wrong_state` are the keys of state records that are not what the events say, as of the last step. `fingerprint` is
    that of the bytes of all events.
    """

    def __init__(self, partition: int, shelf: Shelf | None = None) -> None:
        shelf = shelf or InMemory()
        self.partition = partition
        self.audit = PartitionAudit(partition, shelf)
        self.fold = Fold(partition, shelf.mapping("fold", bytes), events_a_write=_EVENTS_A_WRITE)
        self.stored: MutableMapping[str, bytes] = shelf.mapping("stored", bytes)
        self.progress = Progress()
        self.decided_again = 0
        self.wrong_state: set[str] = set()
        self.digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES)

    @property
    def fingerprint(self) -> str:
        return self.digest.hexdigest()

    @property
    def violations(self) -> list[Violation]:
        return self.audit.violations

    def violated(self, law: str, position: str, detail: str) -> None:
        """Add a violation that the books do not see."""
        self.audit.found.add(Violation(law, position, f"partition-{self.partition}", detail))
