"""Trace context: W3C `traceparent` in and out (https://www.w3.org/TR/trace-context/), one span a request."""

from __future__ import annotations

import random
import re

import msgspec
from starlette.types import Scope

_FORM = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_random = random.Random()  # nosec B311 # seeded by the system; trace ids must be unlike each other, not unguessable


class Trace(msgspec.Struct, frozen=True, gc=False):
    """The trace a request belongs to and the span that this process opened for it."""

    trace_id: str
    span_id: str
    flags: str

    @property
    def traceparent(self) -> str:
        """As it goes out: into envelopes and answers."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def trace_from(header: bytes | None) -> Trace:
    """A new span in the trace that `header` names; in a trace of its own where it names none.

    Anything but version 00 in its strict form starts a new trace: a broken header must not break a request.
    """
    span = f"{_random.getrandbits(64) or 1:016x}"
    match = None if header is None else _FORM.fullmatch(header)
    if match is not None:
        trace_id, parent, flags = (group.decode() for group in match.groups())
        if trace_id != _NO_TRACE and parent != _NO_SPAN:
            return Trace(trace_id, span, flags)
    return Trace(f"{_random.getrandbits(128) or 1:032x}", span, "01")


def trace_of(scope: Scope) -> Trace | None:
    """The trace of a request; None where no middleware opened one."""
    trace: Trace | None = scope.get("darkroom.trace")
    return trace


def trace_id_of(scope: Scope) -> str | None:
    """The trace id of a request, for problem documents and logs."""
    trace = trace_of(scope)
    return None if trace is None else trace.trace_id
