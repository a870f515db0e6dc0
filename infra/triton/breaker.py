"""A circuit breaker for one model on one server: a pure state machine over facts and a clock that is handed in.

closed     every call passes; FAULTS_TO_OPEN faults in a row open it, a refusal (nobody there, no such model) at once
open       no call passes until `open_until_s`; each opening in a row lasts twice as long, at most OPEN_S_MAX
half-open  the time is over: one call passes as a probe. Its success closes the breaker, its fault opens it again; a
           probe that nobody hears of for PROBE_S_MAX is taken for lost, and another may pass

Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from typing import Literal

import msgspec

FAULTS_TO_OPEN = 3
OPEN_S = 0.5
OPEN_S_MAX = 15.0
PROBE_S_MAX = 150.0

Phase = Literal["closed", "half-open", "open"]


class Breaker(msgspec.Struct, frozen=True):
    """`openings` counts openings since the last success; `probe_until_s` is None while no probe is out."""

    faults: int = 0
    openings: int = 0
    open_until_s: float | None = None
    probe_until_s: float | None = None


def phase(breaker: Breaker, now_s: float) -> Phase:
    """The state that the breaker is in now."""
    if breaker.open_until_s is None:
        return "closed"
    return "open" if now_s < breaker.open_until_s else "half-open"


def lets_pass(breaker: Breaker, now_s: float) -> bool:
    """Whether a call may go to the server now."""
    match phase(breaker, now_s):
        case "closed":
            return True
        case "open":
            return False
        case "half-open":
            return breaker.probe_until_s is None or now_s >= breaker.probe_until_s


def after_start(breaker: Breaker, now_s: float) -> Breaker:
    """A call has gone there; in half-open it is the probe."""
    if phase(breaker, now_s) != "half-open":
        return breaker
    return msgspec.structs.replace(breaker, probe_until_s=now_s + PROBE_S_MAX)


def after_success(_: Breaker) -> Breaker:
    """The model answered, be it with an error of its own."""
    return Breaker()


def after_fault(breaker: Breaker, now_s: float) -> Breaker:
    """The model crashed or did not answer in time."""
    faults = breaker.faults + 1
    if breaker.open_until_s is None and faults < FAULTS_TO_OPEN:
        return msgspec.structs.replace(breaker, faults=faults)
    return _opened(breaker, faults, now_s)


def after_refusal(breaker: Breaker, now_s: float) -> Breaker:
    """The call was not accepted: asking the same server again at once is of no use."""
    return _opened(breaker, breaker.faults, now_s)


def after_repair(breaker: Breaker, now_s: float) -> Breaker:
    """The model was loaded anew: the next call is the probe, and the faults are remembered until it succeeds."""
    return msgspec.structs.replace(breaker, open_until_s=now_s, probe_until_s=None)


def _opened(breaker: Breaker, faults: int, now_s: float) -> Breaker:
    if phase(breaker, now_s) == "open":  # late news of calls that had passed before
        return msgspec.structs.replace(breaker, faults=faults)
    lasts_s = min(OPEN_S_MAX, OPEN_S * 2.0 ** min(breaker.openings, 10))
    return Breaker(faults, breaker.openings + 1, now_s + lasts_s)
