"""Envelopes: what all commands of one request have alike, how large one may be, and what a log that fails means.

A command that passes here passes everywhere: the bounds are those that processors read by (`schemas.commands`), and
what is larger is refused before anything is on the log.
"""

from __future__ import annotations

import msgspec

from infra.http.problems import Problem
from infra.kafka.ports import NotAppended, OutcomeUnknown, Overloaded
from ingest.idempotency import outcome_unknown
from schemas.commands import (
    COMMAND_BYTES_MAX,
    GROUP_COMMAND_BYTES_MAX,
    AnyCommand,
    Envelope,
    IdempotencyKey,
    ReplyAddress,
    SubmitGroup,
    encode_command,
)

APPEND_FAULTS = (OutcomeUnknown, NotAppended)


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Whose commands they are; `subject` is sealed, None where nobody knows it."""

    account: str
    product: str
    plan: str
    actor: str
    subject: str | None
    trace: str | None
    sent_ms: int
    gateway: str

    def encoded(
        self, command_id: str, command: AnyCommand, idempotency: IdempotencyKey | None, correlation: str | None
    ) -> bytes:
        """The item for the log; without `correlation` nobody is answered. Raises Problem 413."""
        envelope = Envelope(
            id=command_id,
            account=self.account,
            product=self.product,
            command=command,
            sent_ms=self.sent_ms,
            actor=self.actor,
            plan=self.plan,
            subject=self.subject,
            reply=None if correlation is None else ReplyAddress(self.gateway, correlation),
            idempotency=idempotency,
            trace=self.trace,
        )
        item = encode_command(envelope)
        bytes_max = GROUP_COMMAND_BYTES_MAX if isinstance(command, SubmitGroup) else COMMAND_BYTES_MAX
        if len(item) > bytes_max:
            detail = f"This makes a command of {len(item)} bytes; at most {bytes_max} are possible. Send less at once."
            raise Problem(413, "command-too-large", detail)
        return item


def append_problem(error: BaseException, key: str) -> Problem:
    """503 for one of `APPEND_FAULTS`."""
    if isinstance(error, OutcomeUnknown):
        return outcome_unknown(key)
    if isinstance(error, Overloaded):
        return unavailable("The gateway has more work than the log takes; try again.", code="overloaded")
    return unavailable("The log takes no commands now; nothing was accepted. Try again.")


def unavailable(detail: str, code: str = "unavailable") -> Problem:
    """503, to be tried again in a second."""
    return Problem(503, code, detail, headers={"Retry-After": "1"})
