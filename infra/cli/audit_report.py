"""What an audit found, part by part, as lines and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from infra.cli.audit_objects import ObjectsAudit
from infra.cli.audit_told import LAW as LAW_TOLD
from infra.cli.audit_told import Judged
from infra.cli.read_model_audit import ReadModelAudit
from processors.audit import Violation
from processors.audited_partition import AuditedPartition

STATE_LAW = "state-is-the-fold-of-events"


class PartitionReport(msgspec.Struct):
    """What is kept of a partition's audit when its books are closed."""

    violations: list[Violation]
    laws: Mapping[str, int]
    commands: int
    events: int
    accounts: int
    decided_again: int
    fingerprint: str

    @classmethod
    def of(cls, found: AuditedPartition) -> PartitionReport:
        """The figures of an audited partition."""
        audit = found.audit
        return cls(
            audit.violations,
            audit.found.counts,
            audit.commands,
            audit.events,
            len(audit.books),
            found.decided_again,
            found.fingerprint,
        )


class Report:
    """Everything that one audit found; `shown` are the events that show a violation, by its line."""

    def __init__(self) -> None:
        self.partitions: list[PartitionReport] = []
        self.read_models = ReadModelAudit()
        self.objects: ObjectsAudit | None = None
        self.told: Judged | None = None
        self.elsewhere: list[str] = []
        self.shown: dict[str, Sequence[str]] = {}

    def lines(self) -> list[str]:
        """One line for each violation that was kept."""
        lines = [str(violation) for partition in self.partitions for violation in partition.violations]
        lines += self.read_models.violations
        lines += [str(wrong) for wrong in self.objects.wrong] if self.objects is not None else []
        return lines + self.elsewhere + (self.told.wrong if self.told is not None else [])

    def laws(self) -> Counter[str]:
        """How often each law was broken, with what was not kept."""
        laws: Counter[str] = Counter(self.read_models.counts)
        for partition in self.partitions:
            laws.update(partition.laws)
        laws.update(wrong.law for wrong in (self.objects.wrong if self.objects is not None else []))
        laws.update({LAW_TOLD: len(self.told.wrong)} if self.told is not None and self.told.wrong else {})
        laws.update(line.partition(" ")[0] for line in self.elsewhere)
        return laws

    def keys_to_show(self) -> dict[str, str]:
        """By line the key of each violation that was found by comparing, so that its events have to be looked for."""
        found = [v for partition in self.partitions for v in partition.violations if v.law == STATE_LAW]
        keys = {str(violation): violation.detail for violation in found}
        keys |= {str(difference): difference.key for difference in self.read_models.differences}
        return keys | {str(wrong): wrong.key for wrong in (self.objects.wrong if self.objects is not None else [])}

    def events_of(self, line: str) -> Sequence[str]:
        """The events that show the violation of this line."""
        return self.shown.get(line, ())

    def take_shown(self, by_key: Mapping[str, Sequence[str]]) -> None:
        """Put the events to the lines that they show."""
        for partition in self.partitions:
            self.shown |= {str(violation): violation.shown for violation in partition.violations if violation.shown}
        self.shown |= {line: by_key[key] for line, key in self.keys_to_show().items() if by_key.get(key)}

    def summary(self) -> dict[str, Any]:
        """The same as JSON has it."""
        lines = self.lines()
        summary: dict[str, Any] = {
            "clean": not lines,
            "partitions": len(self.partitions),
            "commands": sum(found.commands for found in self.partitions),
            "events": sum(found.events for found in self.partitions),
            "accounts": sum(found.accounts for found in self.partitions),
            "decided_again": sum(found.decided_again for found in self.partitions),
            "rows_compared": self.read_models.rows_compared,
            "drift_units": self.read_models.drift_units,
            "violations": lines,
            "laws": dict(sorted(self.laws().items())),
            "shown": {line: list(self.events_of(line)) for line in lines if self.events_of(line)},
        }
        if self.objects is not None:
            listed = [{"key": one.key, "bytes": one.size} for one in self.objects.orphans]
            summary["objects"] = {"looked_at": self.objects.objects, "hashed": self.objects.hashed}
            summary["orphans"] = {
                "count": self.objects.orphan_count,
                "bytes": self.objects.orphan_bytes,
                "listed": listed,
            }
        if self.told is not None:
            summary["told"] = {"answers": self.told.answers, "judged": self.told.judged}
        return summary

    def text(self) -> Iterator[str]:
        """The same for people: a line for each violation and the events that show it below, a line to sum up."""
        lines, summary = self.lines(), self.summary()
        for line in lines:
            yield line
            yield from (f"    {event}" for event in self.events_of(line))
        more = sum(self.laws().values()) - len(lines)
        if more > 0:
            yield f"{more} more of the same laws"
        yield from self._orphans()
        said = (
            f"{'clean' if not lines else f'{len(lines)} violations'}: {summary['commands']} commands, "
            f"{summary['events']} events, {summary['decided_again']} decided again, "
            f"{summary['rows_compared']} rows of read models"
        )
        if self.objects is not None:
            said += f", {self.objects.objects} objects ({self.objects.hashed} hashed)"
        if self.told is not None:
            said += f", {self.told.judged} of {self.told.answers} answers judged"
        yield said

    def _orphans(self) -> Iterator[str]:
        if self.objects is None or not self.objects.orphan_count:
            return
        yield (
            f"{self.objects.orphan_count} objects ({self.objects.orphan_bytes} bytes) are no picture's: uploads under"
            " way, sealed texts of groups, or orphans for `darkroom sweep`"
        )
        yield from (f"    {one.key}  {one.size} bytes" for one in self.objects.orphans[:20])
