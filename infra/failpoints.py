"""Failpoints: named places before and after each durable step, where tests let a process die, fail or hang.

Theory of operation
-------------------
`STEPS` names every durable step of the product, where it stands, and what is durable there. The code says
`failpoints.passed("gateway.append.after")` at the place itself. Unarmed, `passed` is a function that does nothing; the
caller looks it up in the module, so that `arm` can put another one in its place.

    DARKROOM_FAILPOINTS='gateway.append.after=kill@3; projector.transaction.before=raise'
    DARKROOM_FAILPOINTS=@armed        the same text in the file `armed` of `<data>/failpoints`, read when it changes

`NAME=ACTION[@N][#TAG]`: at the Nth passing (1) of a process that is armed, `kill` sends it SIGKILL, `raise` raises
`FailpointStruck`, and `hang:SECONDS` holds the thread that passes, which is a whole event loop where there is one.

Each entry strikes once. Before it does, it claims its marker in `<data>/failpoints/struck`: whoever makes the file
strikes, so neither a second process nor the restarted one does it again. A tag makes it another entry.

Only the variable arms anything, and only where the deployment is `local`; elsewhere the process refuses to start.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.errors import OperatorError

VARIABLE = "DARKROOM_FAILPOINTS"
FOLDER = "failpoints"
Action = Literal["kill", "raise", "hang"]

_ENTRY = re.compile(
    r"(?P<name>[a-z.-]+)=(?P<action>kill|raise|hang:(?P<seconds>\d+(\.\d+)?))(@(?P<passing>[1-9]\d*))?(#(?P<tag>[\w-]+))?"
)


class FailpointStruck(RuntimeError):
    """What an armed failpoint raises. No code of the product knows it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A durable step: `where` is the module and function that pass its failpoints, `durable` what it leaves behind."""

    name: str
    where: str
    durable: str
    moments: tuple[str, ...] = ("before", "after")

    @property
    def failpoints(self) -> tuple[str, ...]:
        """Their full names."""
        return tuple(f"{self.name}.{moment}" for moment in self.moments)


_INSIDE = ("before", "inside", "after")

STEPS: tuple[Step, ...] = (
    Step("start.topics", "infra.cli.up:hooks.make_topics", "the topics, when a stack starts"),
    Step("start.plan", "infra.cli.plan:publish_plan", "the plan on `commands`, then the mark of it", _INSIDE),
    Step("gateway.append", "ingest.intake:Intake.append", "a command on `commands`"),
    Step("gateway.append-many", "ingest.batch:_appended", "a slice of a batch on `commands`"),
    Step("gateway.put-object", "ingest.pictures:store_picture", "an uploaded, completed or fetched picture in S3"),
    Step("gateway.put-texts", "ingest.groups:_store", "the sealed texts of a large group in S3"),
    Step("gateway.discard-object", "ingest.discards:discard", "bytes that no event names are gone from S3"),
    Step("gateway.put-key", "infra.sealing.topic:TopicKeyStore.put", "an account's wrapped key on `keys`"),
    Step("gateway.revoke-session", "infra.http.session_log:LogSessions.revoke", "a revocation on `sessions`"),
    Step("gateway.note-sessions", "infra.http.session_log:LogSessions.write_due", "last uses and ends on `sessions`"),
    Step("gateway.note-accesses", "infra.http.audit:AccessTrail.flush", "who read and changed what, on `accesses`"),
    Step("gateway.note-views", "infra.views:ViewSender._sent", "views of public pictures on `commands`"),
    Step("store.put-part", "infra.s3.bucket:_Upload._send_part", "a part of a large object, not an object yet"),
    Step("processor.fence", "processors.loop:PartitionOwner.run", "the predecessors' transactions have ended"),
    Step("processor.load", "processors.loop:PartitionOwner.run", "nothing; the state is read", ("after",)),
    Step(
        "processor.transaction", "processors.loop:PartitionOwner._commit", "events, work, replies, state and position"
    ),
    Step(
        "processor.produce", "infra.kafka.transactions:TransactionalProducer._run", "records that nobody may read yet"
    ),
    Step("processor.end", "infra.kafka.transactions:TransactionalProducer._run", "the same, committed", ("after",)),
    Step("processor.decide", "processors.batch:Batch._decide", "nothing; what is raised is the command's", ("before",)),
    Step("processor.suspect", "processors.loop:PartitionOwner._transact_now", "that a command could not be decided"),
    Step("processor.tick", "processors.loop:PartitionOwner._tick_if_due", "a tick on `commands`"),
    Step("processor.trim", "processors.retention:keep_trimmed", "applied commands of eight days ago are gone"),
    Step("dispatcher.offsets", "processors.faust_front:Consumer.commit", "offsets of the group of dispatchers"),
    Step("dispatcher.started", "processors.dispatch.runner:Runner._tell", "`attempt-started` on `commands`"),
    Step("dispatcher.lease", "processors.dispatch.runner:Runner._renew", "`renew-lease` on `commands`"),
    Step("dispatcher.put-result", "processors.dispatch.production:Producer._put", "a result or its still in S3"),
    Step("dispatcher.outcome", "processors.dispatch.runner:Runner._tell", "`record-outcome` on `commands`"),
    Step("dispatcher.delete-bytes", "processors.dispatch.housekeeping:Housekeeper.run", "purged bytes are gone"),
    Step("dispatcher.purged", "processors.dispatch.housekeeping:Housekeeper.run", "`record-purge`", ("after",)),
    Step("projector.migrate", "infra.postgres.migrate:migrate", "the schema, and the path to what is live"),
    Step("projector.begin", "projections.tracking:PositionRecorder.positions", "rows for positions that are new"),
    Step("projector.transaction", "projections.postgres:PostgresReadModels._write", "rows and positions", _INSIDE),
    Step("projector.archive", "projections.archive:PostgresArchive.write", "events in the archive, positions", _INSIDE),
    Step("projector.trail", "projections.audit:PostgresAudit.write", "accesses in their table, positions", _INSIDE),
    Step("projector.beat", "infra.cli.upkeep:beat", "a record on each partition of `keys`"),
    Step("rebuild.make", "projections.rebuild:Rebuild.anew", "new, empty generations"),
    Step("rebuild.fill", "projections.filler:Filler._take", "a part of the rows of a new generation", ("after",)),
    Step("rebuild.indexes", "projections.rebuild:Rebuild.anew", "the indexes of a new generation", ("after",)),
    Step("rebuild.drop", "projections.rebuild:Rebuild.anew", "the generation before the last is gone"),
    Step("rebuild.switch", "projections.rebuild:Rebuild._switched", "another generation is live", _INSIDE),
    Step("rebuild-state.transaction", "infra.cli.rebuild_state:_rebuild", "state records made from events"),
    Step("sweep.remove", "projections.sweep:_remove", "objects that no event names are gone"),
    Step("sweep.forget", "projections.sweep:sweep", "parts of uploads that were cut off are gone"),
    Step("erase.append", "infra.cli.erase:_append", "`erase-account` on `commands`"),
    Step("erase.tombstones", "infra.cli.erase:_erase", "the account's keys have tombstones on `keys`"),
    Step("redrive.append", "infra.cli.dead_letters:_redrive_one", "a dead letter on `commands` again"),
    Step("redrive.mark", "infra.cli.dead_letters:_redrive_one", "the mark that it was redriven", ("after",)),
    Step("operator.append", "infra.cli.operator:append_to_partitions", "a command on partitions' own streams"),
    Step("operator.rotate-key", "infra.cli.rotate_key:rotate_key", "a new signing key's file"),
    Step("operator.retire-key", "infra.cli.rotate_key:rotate_key", "a signing key's file is gone"),
)
"""Every durable step. Commands of operators that go through the gateway (grant, refund, set-plan) are its appends.

Where a moment is missing, its place is another step's: what is before `processor.end` is after `processor.produce`.
"""

FAILPOINTS: tuple[str, ...] = tuple(name for step in STEPS for name in step.failpoints)


@dataclass(frozen=True, slots=True)
class Armed:
    """One entry: what happens at which passing. `text` is the entry as it was written, and names its marker."""

    name: str
    action: Action
    passing: int
    hang_s: float
    text: str


def _nothing(_name: str) -> None:
    """What passing a failpoint is where none is armed."""


passed: Callable[[str], None] = _nothing
"""Call it as `failpoints.passed(NAME)`, never by a name of its own, which `arm` could not replace."""


def arm(deployment: str, data_dir: Path) -> None:
    """Arm what the environment names; nothing without the variable.

    Raises OperatorError outside of local deployments, and for what is no entry.
    """
    global passed
    text = os.environ.get(VARIABLE)
    if text is None:
        return
    if deployment != "local":
        raise OperatorError(f"{VARIABLE} is for tests: unset it, this deployment is {deployment}.")
    folder = (data_dir / FOLDER).resolve()
    passed = _Watch(folder, text[1:]).passed if text.startswith("@") else Strikes(folder, parsed(text)).passed


def parsed(text: str) -> tuple[Armed, ...]:
    """The entries of a text, parted by `;` or lines. Raises OperatorError."""
    return tuple(_parsed(entry.strip()) for entry in re.split(r"[;\n]", text) if entry.strip())


def _parsed(entry: str) -> Armed:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise OperatorError(f"{VARIABLE} reads NAME=kill|raise|hang:SECONDS[@N][#TAG], with `;` between, not {entry}.")
    if match["name"] not in FAILPOINTS:
        raise OperatorError(f"{VARIABLE} names {match['name']}, and there is no such failpoint.")
    action: Action = "kill" if match["action"] == "kill" else "raise" if match["action"] == "raise" else "hang"
    return Armed(match["name"], action, int(match["passing"] or 1), float(match["seconds"] or 0), entry)


class Strikes:
    """Counts passings in this process and strikes where an entry says so. Safe in any thread."""

    def __init__(self, folder: Path, entries: tuple[Armed, ...], strike: Callable[[Armed], None] | None = None) -> None:
        self._folder, self._strike = folder / "struck", strike or strike_here
        self._entries: Mapping[str, list[Armed]] = {
            entry.name: [one for one in entries if one.name == entry.name] for entry in entries
        }
        self._passings: Counter[str] = Counter()
        self._lock = threading.Lock()

    def passed(self, name: str) -> None:
        """Strike if it is time; the first process to claim the marker does."""
        entries = self._entries.get(name)
        if entries is None:
            return
        with self._lock:
            self._passings[name] += 1
            due = [entry for entry in entries if self._passings[name] >= entry.passing and self._claimed(entry)]
        for entry in due:
            self._strike(entry)

    def _claimed(self, entry: Armed) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with (self._folder / entry.text).open("x", encoding="ascii") as marker:
                marker.write(json.dumps({"pid": os.getpid(), "at_s": time.time()}))
        except FileExistsError:
            return False
        return True


class _Watch:
    """Arms by a file that may change at any time; what it held before counts no more."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._path = folder, folder / name
        self._seen: tuple[int, int] | None = None
        self._strikes = Strikes(folder, ())
        self._lock = threading.Lock()

    def passed(self, name: str) -> None:
        with self._lock:
            self._look()
            strikes = self._strikes
        strikes.passed(name)

    def _look(self) -> None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return
        seen = (stat.st_mtime_ns, stat.st_ino)
        if seen != self._seen:
            self._seen = seen
            self._strikes = Strikes(self._folder, parsed(self._path.read_text(encoding="ascii")))


def strike_here(entry: Armed) -> None:
    """Do to this process what the entry says."""
    match entry.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(entry.hang_s)
        case "raise":
            raise FailpointStruck(f"the failpoint {entry.text} was struck")
