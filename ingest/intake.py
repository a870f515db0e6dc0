"""The only shell of ingest: seal, build the envelope, append it, wait for the answer.

Theory of operation. Whatever the request, the way is the same: the waiter is registered, then the command is appended
(acks=all), and only then anything is answered. From the append on nothing can be lost: a client that hangs up, a
gateway that dies or a reply that never comes leave the command on the log, decided once, and the same Idempotency-Key
gives its answer again. Before the append nothing has happened: a failure there is a 4xx or 503 and leaves no trace.

    validated -> key known -> waiter open -> append --Appended--> reply within 1 s ----------------> answer
                                               |                     | no: ask the read model too -> answer
                                               | OutcomeUnknown      | limit reached --------------> 202
                                               +-> 503 with the key to retry with
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import get_args

import msgspec
from starlette.requests import Request

from infra import failpoints
from infra.http.audit import accessed
from infra.http.auth import add_headers, set_header
from infra.http.cookies import POSITION_COOKIE, is_cookie_client, set_cookie
from infra.http.pressure import SHED
from infra.http.problems import Problem, of_status
from infra.http.refusals import problem_of
from infra.http.requests import header_once
from infra.http.tokens import Caller
from infra.http.traces import trace_of
from infra.postgres.outcomes import JobOutcome
from infra.sealing.cipher import DataKey, key_id_of, seal
from infra.sealing.content import SUBJECT
from infra.sealing.keys import KeyStoreUnavailable
from ingest.envelopes import APPEND_FAULTS, Sender, append_problem, unavailable
from ingest.idempotency import checked_key, idempotency_key
from ingest.jobs import ParamsChecker
from ingest.ports import IngestPorts, KnownSizes
from ingest.replies import TooManyWaiters, Waiter
from ingest.shapes import Preference, preference_of
from ingest.uploads import UploadPlaces
from schemas.commands import AnyCommand
from schemas.identifiers import partition_of
from schemas.positions import Position, parse_position
from schemas.replies import AnyAnswer, Broken, Refused, Reply

BATCHES_MAX = 8  # whose bodies stand in memory at a time
ACCOUNT_BATCHES_MAX = 2
_SUBJECTS_MAX = 50_000
_ASK_PAUSE_MAX_S = 5.0
_CATCH_UP_PAUSE_S = 0.02
_NAMING = ("job", "jobs", "asset", "assets", "album", "group")
_NAMING_OF = {
    kind: tuple(name for name in _NAMING if name in kind.__struct_fields__)
    for kind in (*get_args(AnyCommand), *get_args(AnyAnswer))
}


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account a command is for; for a grant it is not the caller's. `subject` None: nobody here knows it."""

    account: str
    product: str
    subject: str | None
    plan: str = "default"
    actor: str = "user"


class Decision(msgspec.Struct, frozen=True):
    """The decider's answer and where it was decided. `answer` None: not decided in time; the command is on the log."""

    answer: AnyAnswer | None
    position: Position


class Intake:
    """One per gateway; safe for concurrent requests."""

    def __init__(self, ports: IngestPorts) -> None:
        self.ports = ports
        self.sizes = KnownSizes(ports.read_side)
        self.params = ParamsChecker(ports.catalogue)
        self.uploads = UploadPlaces()
        self.fetches = UploadPlaces(per_account=4)
        self.batches = UploadPlaces(BATCHES_MAX, ACCOUNT_BATCHES_MAX, what="batch")
        self.samples: dict[tuple[str, str], str] = {}
        self._subjects: OrderedDict[str, str] = OrderedDict()

    def waiting(self, request: Request, who: Who) -> Preference:
        """How long a submit of this product waits for its result: as `Prefer` says, else as long as its plan does."""
        terms = self.ports.plan.terms(who.product, who.plan)
        wait_s = 0 if terms is None else terms.wait_default_ms // 1000
        return preference_of(request, Preference(wait_s, True, None))

    def minted(self, request: Request) -> Minted:
        """Ids for one request: one random text under several prefixes, and the key it is repeated with."""
        suffix = self.ports.ids.mint("x")[2:]
        given = header_once(request, "idempotency-key")
        key = checked_key(given) if given is not None else f"idem_{suffix}"
        add_headers(request.scope, [(b"idempotency-key", key.encode())])
        return Minted(suffix, key)

    async def sealed(self, account: str, purpose: str, plaintext: bytes) -> str:
        """The sealed text, under a key that is on the log. Raises Problem 503."""
        return seal(await self.data_key(account), account, purpose, plaintext)

    async def data_key(self, account: str) -> DataKey:
        """A key of the account to seal with; it is on the log. Raises Problem 503."""
        key = self.ports.keys.known(account)
        if key is not None:
            return key
        try:
            return await self.ports.keys.key_for(account)
        except KeyStoreUnavailable as error:
            raise unavailable("The log takes no new keys now; try again.") from error

    def waiter(self, minted: Minted, who: Who) -> Waiter:
        """Where the replies to a command for the account will come. Raises Problem 503 when too many wait."""
        try:
            return self.ports.waiters.open(minted.suffix, partition_of(who.account, self.ports.partitions))
        except TooManyWaiters as error:
            SHED.labels("decisions").inc()
            raise unavailable("Too many requests wait for their decision; try again.", code="overloaded") from error

    async def append(
        self,
        request: Request,
        who: Who,
        minted: Minted,
        operation: str,
        content: object,
        command: AnyCommand,
        *,
        answered: bool = True,
    ) -> Position:
        """Put the command on the log and return its position. Raises Problem 503.

        `content` is what a repeat under the same key must equal; without `answered` the decider sends no reply.
        """
        ports, sender = self.ports, await self.sender(request, who)
        key = idempotency_key(ports.identifier_key, who.account, operation, minted.key, content)
        item = sender.encoded(f"cmd_{minted.suffix}", command, key, minted.suffix if answered else None)
        partition = partition_of(who.account, ports.partitions)
        accessed(request, *_named(command), account=who.account)
        try:
            failpoints.passed("gateway.append.before")
            appended = await ports.appender.append(partition, item)
            failpoints.passed("gateway.append.after")
        except APPEND_FAULTS as error:
            raise append_problem(error, minted.key) from error
        return Position(partition, appended.offset, appended.item_index)

    async def sender(self, request: Request, who: Who) -> Sender:
        """What all commands of the request have alike. Raises Problem 503."""
        trace = trace_of(request.scope)
        return Sender(
            account=who.account,
            product=who.product,
            plan=who.plan,
            actor=who.actor,
            subject=None if who.subject is None else await self._subject(who.account, who.subject),
            trace=None if trace is None else trace.traceparent,
            sent_ms=self.ports.clock.now_ms(),
            gateway=self.ports.waiters.incarnation,
        )

    async def decided(self, request: Request, who: Who, waiter: Waiter, appended: Position) -> Decision:
        """The decision, as far as it comes in time. Raises Problem for a refusal and for a command that broke."""
        reply = await waiter.take(self.ports.decision_wait_s)
        return self.understood(request, who, reply, appended)

    def understood(self, request: Request, who: Who, reply: Reply | None, appended: Position) -> Decision:
        """What a reply says, with its position noted for reads and for the answer."""
        position = appended if reply is None else parse_position(reply.position) or appended
        self.acknowledged(request, who, position)
        match None if reply is None else reply.answer:
            case Refused(refusal):
                raise problem_of(refusal, self.ports.clock.now_ms())
            case Broken():
                raise broken()
            case answer:
                named = _named(answer)
                if named:  # a repeated request touches what the first one made
                    accessed(request, *named, account=who.account, instead=True)
                return Decision(answer, position)

    def acknowledged(self, request: Request, who: Who, position: Position) -> None:
        """Tell the client, and this gateway's reads, how far the account has come."""
        self.ports.last_positions.note(who.account, position)
        set_header(request.scope, b"darkroom-position", str(position).encode())
        if is_cookie_client(request.scope):
            set_cookie(request.scope, POSITION_COOKIE, str(position))

    async def reply_or_outcome(
        self, waiter: Waiter, who: Who, job: str, wait_s: float, *, ended: bool, ask_first: bool = False
    ) -> Reply | JobOutcome | None:
        """The next reply about `job`; after a second also what the read model knows; None at the limit.

        With `ended` only an outcome of a job that has ended counts; `ask_first` asks the read model at once.
        """
        pause_s = 0.0 if ask_first else min(self.ports.ask_read_side_after_s, wait_s)
        while wait_s > 0:
            reply = await waiter.take(pause_s)
            if reply is not None:
                return reply
            wait_s -= pause_s
            outcome = await self.ports.read_side.job(who.account, job)
            if outcome is not None and (outcome.has_ended or not ended):
                return outcome
            pause_s = min(max(pause_s * 2, self.ports.ask_read_side_after_s), _ASK_PAUSE_MAX_S, wait_s)
        return None

    async def caught_up(self, position: Position) -> bool:
        """Wait (bounded) until the read models know every command up to `position`; False where they are late."""
        for _ in range(max(1, int(self.ports.catch_up_wait_s / _CATCH_UP_PAUSE_S))):
            if await self.ports.read_side.has_reached(position):
                return True
            await asyncio.sleep(_CATCH_UP_PAUSE_S)
        return False

    async def _subject(self, account: str, subject: str) -> str:
        """The account's sealed subject; sealed once and then the same text, as long as its very key lives."""
        sealed, key = self._subjects.get(account), self.ports.keys.known(account)
        if sealed is not None and key is not None and key_id_of(sealed) == key.key_id:
            return sealed
        sealed = await self.sealed(account, SUBJECT, subject.encode())
        self._subjects[account] = sealed
        if len(self._subjects) > _SUBJECTS_MAX:
            self._subjects.popitem(last=False)
        return sealed


class Minted(msgspec.Struct, frozen=True):
    """The random part of a request's ids, and its idempotency key in clear."""

    suffix: str
    key: str

    def id(self, prefix: str) -> str:
        """The id of this request's object of a kind."""
        return f"{prefix}_{self.suffix}"


def caller_as_who(caller: Caller) -> Who:
    """The account that the caller acts for, its own or a workspace's."""
    return Who(
        account=caller.account, product=caller.product, subject=caller.owner, plan=caller.plan, actor=caller.actor
    )


def broken() -> Problem:
    """500: the command stands in `dead-letters`."""
    return of_status(500, "The request could not be decided; nothing was charged. Name `trace_id` in reports.")


def _named(message: AnyCommand | AnyAnswer | None) -> list[str]:
    """The ids of what a command makes or changes, or an answer tells of; for the trail of accesses."""
    named: list[str] = []
    for name in _NAMING_OF.get(type(message), ()):
        value = getattr(message, name)
        if isinstance(value, str):
            named.append(value)
        elif isinstance(value, tuple):
            named += [one for one in value if isinstance(one, str)]
    return named
