"""The trail of accesses: who read, changed or deleted what, appended to the topic `accesses`.

Theory of operation
-------------------
The table of operations says what is audited and as what. When such a request has been answered, an entry is noted in
memory: a dictionary write, nothing that an answer would wait for. Equal entries (a client that polls) are counted in
one. A task of its own appends what has gathered, once a second or when 500 entries wait: one record an account, or
several, because a record holds at most 500 accesses and 2,000 ids.

    answered --note--> gathered --1 s or 500--> records --append--> on the log
                          |                        ^  |
                          | too many: dropped,     +--+ log away: the same records again, with their batch ids
                          v counted and logged

At least once, so a reader knows a record by its `batch`. A gateway that is killed loses at most its last second; one
that stops in order appends what it has. While the log is away for long, newer accesses are dropped, and no request is
held.

What took place is noted: answers below 400, and of changes those too whose effect the answer does not tell (500 and up,
and clients that hung up).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from starlette.requests import Request
from starlette.types import Scope

from infra import failpoints
from infra.clock import Clock
from infra.http.addresses import AddressHasher
from infra.http.routing import Operation, operation_of
from infra.http.tokens import Caller
from infra.http.traces import trace_id_of
from infra.ids import IdSource
from infra.kafka.ports import NotAppended, Outgoing, Records
from infra.logs import get_logger
from schemas.accesses import Access, AccessRecord, Action, Role, encode_accesses
from schemas.identifiers import partition_of
from schemas.topics import ACCESSES

EVERY_S = 1.0
ENTRIES_MAX = 500
OBJECTS_MAX = 2_000
WAITING_MAX = 100_000
_SAY_EVERY_S = 30.0
_UNTOLD_FROM = 499
_ID_CHARS_MAX = 64
_log = get_logger(__name__)


class _Key(msgspec.Struct, frozen=True, gc=False):
    """What equal accesses have alike."""

    account: str
    actor: str | None
    role: Role
    operation: str
    action: Action
    objects: tuple[str, ...]
    status: int
    address: str


class _Equal(msgspec.Struct, gc=False):
    """The first of equal accesses, and how many there are."""

    at_ms: int
    trace: str | None
    times: int = 1


class _Accessed(msgspec.Struct, frozen=True):
    account: str | None
    objects: list[str]


def accessed(request: Request, *objects: str, account: str | None = None, instead: bool = False) -> None:
    """Say what the request touches, where it is not just the path's `id` in the caller's own account.

    Ids only, never names; calls add up, but for one that says `instead`. `account` is whose data it is.
    """
    told: _Accessed | None = request.scope.get("darkroom.accessed")
    known = [] if told is None or instead else told.objects
    known.extend(objects)
    request.scope["darkroom.accessed"] = _Accessed(account or (told.account if told is not None else None), known)


class AccessTrail:
    """Notes accesses and appends them; run `run` beside the application, and `flush` after it."""

    def __init__(
        self,
        clock: Clock,
        ids: IdSource,
        addresses: AddressHasher,
        partitions: int,
        *,
        registry: CollectorRegistry = REGISTRY,
        waiting_max: int = WAITING_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._ids, self._addresses, self._partitions = clock, ids, addresses, partitions
        self._waiting_max, self._monotonic = waiting_max, monotonic
        self._noted: dict[_Key, _Equal] = {}
        self._unsent: list[Outgoing] = []
        self._gathered = self._unsent_size = 0
        self._many = asyncio.Event()
        self._said_at_s = float("-inf")
        self._dropped = Counter("darkroom_accesses_dropped", "Accesses that no record tells of.", registry=registry)

    @property
    def waiting(self) -> int:
        """Entries, and ids in them, that are not on the log yet."""
        return self._gathered + self._unsent_size

    def note(self, scope: Scope, status: int) -> None:
        """Note the request that was answered with this status, if its operation is audited."""
        operation = operation_of(scope)
        if operation is None or operation.audit is None:
            return
        if status >= 400 and (operation.audit == "read" or status < _UNTOLD_FROM):
            return
        key = self._key(scope, operation, operation.audit, status)
        if key is None:
            return
        equal = self._noted.get(key)
        if equal is not None:
            equal.times += 1
        elif self.waiting >= self._waiting_max:
            self._drop()
        else:
            self._noted[key] = _Equal(self._clock.now_ms(), trace_id_of(scope))
            self._gathered += 1 + len(key.objects)
            if len(self._noted) >= ENTRIES_MAX:
                self._many.set()

    async def run(self, records: Records) -> None:
        """Append what gathers, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._many.wait()
            except TimeoutError:
                pass
            try:
                if not await self.flush(records):
                    await asyncio.sleep(EVERY_S)
            except Exception as error:
                _log.error("accesses-not-appended", exc_info=error)
                await asyncio.sleep(EVERY_S)

    async def flush(self, records: Records) -> bool:
        """Append all that has gathered; False when it could not be and waits for the next call."""
        self._many.clear()
        noted, self._noted = self._noted, {}
        self._unsent += self._packed(noted)
        self._unsent_size, self._gathered = self.waiting, 0
        if not self._unsent:
            return True
        sending, size = list(self._unsent), self._unsent_size
        try:
            failpoints.passed("gateway.note-accesses.before")
            await records.append(sending)
            failpoints.passed("gateway.note-accesses.after")
        except NotAppended as error:
            _log.warning("accesses-wait", waiting=self.waiting, reason=str(error))
            return False
        del self._unsent[: len(sending)]
        self._unsent_size -= size
        return True

    def _key(self, scope: Scope, operation: Operation, action: Action, status: int) -> _Key | None:
        caller: Caller | None = scope.get("darkroom.caller")
        told: _Accessed | None = scope.get("darkroom.accessed")
        actor = None if caller is None else caller.person
        own = None if caller is None else caller.account
        account = own if told is None or told.account is None else told.account
        if account is None:
            return None
        named = scope.get("path_params", {}).get("id")
        objects: tuple[str, ...] = ()
        if told is not None and told.objects:
            objects = tuple(dict.fromkeys(told.objects))
        elif named is not None:
            objects = (str(named)[:_ID_CHARS_MAX],)
        role = _role(operation, caller)
        return _Key(account, actor, role, operation.name, action, objects, status, self._addresses.of(scope))

    def _packed(self, noted: dict[_Key, _Equal]) -> Iterator[Outgoing]:
        by_account: dict[str, list[Access]] = {}
        for key, equal in noted.items():
            by_account.setdefault(key.account, []).extend(_accesses(key, equal))
        for account, accesses in by_account.items():
            partition = partition_of(account, self._partitions)
            for chunk in _chunks(accesses):
                record = AccessRecord(self._ids.mint("batch"), account, tuple(chunk))
                yield Outgoing(ACCESSES, partition, account.encode(), encode_accesses(record))

    def _drop(self) -> None:
        self._dropped.inc()
        now_s = self._monotonic()
        if now_s - self._said_at_s > _SAY_EVERY_S:
            self._said_at_s = now_s
            _log.error("accesses-dropped", waiting=self.waiting, detail="The log takes no records; see the metric.")


def _role(operation: Operation, caller: Caller | None) -> Role:
    """How the gate let the request in."""
    if caller is None:
        return "anonymous" if operation.access == "optional" else "link"
    return "admin" if caller.is_admin else "user"


def _accesses(key: _Key, equal: _Equal) -> Iterator[Access]:
    """The access, in several where it names more ids than a record holds."""
    for at in range(0, max(1, len(key.objects)), OBJECTS_MAX):
        yield Access(
            at_ms=equal.at_ms,
            actor=key.actor,
            role=key.role,
            action=key.action,
            operation=key.operation,
            objects=key.objects[at : at + OBJECTS_MAX],
            status=key.status,
            address=key.address,
            trace=equal.trace,
            times=equal.times,
        )


def _chunks(accesses: Sequence[Access]) -> Iterator[list[Access]]:
    """The contents of records, each within its limits."""
    chunk: list[Access] = []
    objects = 0
    for access in accesses:
        if chunk and (len(chunk) >= ENTRIES_MAX or objects + len(access.objects) > OBJECTS_MAX):
            yield chunk
            chunk, objects = [], 0
        chunk.append(access)
        objects += len(access.objects)
    if chunk:
        yield chunk
