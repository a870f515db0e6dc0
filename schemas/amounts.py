"""Windows and regeneration: pure arithmetic on integer units and UTC milliseconds (design section 2, point 13).

Used by decisions, by projections and at read time, so that a balance shown between two events is right.
"""

import datetime
from typing import Literal

WindowKind = Literal["day", "month"]
DAY_MS = 86_400_000


def window_start_ms(kind: WindowKind, time_ms: int) -> int:
    """The start of the UTC calendar day or month that holds `time_ms`."""
    if kind == "day":
        return time_ms - time_ms % DAY_MS
    moment = datetime.datetime.fromtimestamp(time_ms // 1000, tz=datetime.UTC)
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(first.timestamp()) * 1000


def window_end_ms(kind: WindowKind, time_ms: int) -> int:
    """The first millisecond after the window that holds `time_ms`."""
    start = window_start_ms(kind, time_ms)
    if kind == "day":
        return start + DAY_MS
    return window_start_ms("month", start + 32 * DAY_MS)


def regenerated_units(
    *, units: int, every_ms: int, cap: int, available: int, since_ms: int, time_ms: int
) -> tuple[int, int]:
    """(units gained, new `since_ms`) at `time_ms` for an account that gains `units` each `every_ms` up to `cap`.

    A balance at or above the cap gains nothing and its clock starts anew, so that time spent full is not saved up.
    Splitting a span in two gives the same sum as taking it whole.
    """
    if available >= cap or time_ms <= since_ms:
        return 0, max(since_ms, time_ms) if available >= cap else since_ms
    steps = (time_ms - since_ms) // every_ms
    missing = cap - available
    gained = min(steps * units, missing)
    if gained == missing:
        return gained, time_ms
    return gained, since_ms + steps * every_ms
