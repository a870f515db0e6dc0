"""Durations in fixed buckets, so that counts of different days and models can be added up and percentiles asked later.

Buckets are half an octave wide: a percentile that comes out of them is within a fifth of the true one.
"""

from bisect import bisect_right
from collections.abc import Mapping

_HALF_OCTAVES = 55  # up to 2^27 ms, a day and a half
BOUNDS_MS: tuple[int, ...] = tuple(sorted({round(2 ** (step / 2)) for step in range(_HALF_OCTAVES)}))
"""Bucket n holds what is at least bound n-1 and below bound n; the first begins at 0, the last has no end."""

NO_BUCKET = -1


def bucket_of(duration_ms: int) -> int:
    """The bucket that holds the duration, as PostgreSQL's `width_bucket(duration, bounds)` numbers it."""
    return bisect_right(BOUNDS_MS, duration_ms)


def percentile_ms(counts: Mapping[int, int], percent: float) -> int | None:
    """The duration that `percent` of what was counted does not exceed, straight between the bucket's bounds.

    `counts` are by bucket; None where nothing was counted.
    """
    total = sum(counts.values())
    if total == 0:
        return None
    wanted, below = total * percent / 100, 0
    for bucket in sorted(counts):
        if below + counts[bucket] >= wanted and counts[bucket]:
            low = 0 if bucket == 0 else BOUNDS_MS[bucket - 1]
            high = BOUNDS_MS[min(bucket, len(BOUNDS_MS) - 1)]
            return round(low + max(0, high - low) * (wanted - below) / counts[bucket])
        below += counts[bucket]
    return BOUNDS_MS[-1]
