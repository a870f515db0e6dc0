"""What is checked of each invariant, where, or which test shows what cannot be seen from outside.

I1   every command on the log left events; with ``--told`` every acknowledgement stands on the log
I2   one decision for each place of `commands`; one acceptance for each key in its life
I3   every event names the command that stands at its place
I4   read models hold exactly what committed events say
I5   money, at every event
I6   slots and windows, at every event
I7   legal transitions; versions and positions without a gap
I8   all events of a command, or none
I9   the position never goes back; no place of `commands` is passed over
I10  the commands decided again give the same bytes, here and in another process with another hash seed
I11  read models = fold of the log; their positions never go back
I12  with ``--told`` no read shows less than it asked for
I13  the object store holds what the log says, as it was written; orphans are listed
I14  the effect of an attempt, once
I15  with ``--quiet-log`` everything has ended and nothing is open
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Invariant(msgspec.Struct, frozen=True):
    """An invariant: what it asks, the laws that are checked for it, and what shows the rest."""

    name: str
    asks: str
    laws: tuple[str, ...]
    where: str
    elsewhere: str = ""


INVARIANTS = (
    Invariant(
        "I1",
        "what was acknowledged is not lost",
        ("no-command-is-passed-over", "what-was-told-stands-on-the-log"),
        "commands beside events; the client's own log (--told FILE)",
        "without --told an acknowledgement whose command never reached the log: tests/chaos",
    ),
    Invariant(
        "I2",
        "nothing happens twice",
        (
            "positions-in-order",
            "a-job-is-accepted-once",
            "an-asset-begins-once",
            "a-key-makes-one-thing",
            "a-key-lives-its-time",
        ),
        "events; the client's own log (one key, one id)",
        "that other content under a key is refused: decided again; tests/end_to_end/test_idempotency.py",
    ),
    Invariant(
        "I3",
        "every event traces to a command or a timer (timers are commands: ticks)",
        ("every-event-has-its-command", "no-event-stands-beyond-the-position"),
        "events beside commands, as far back as commands are kept",
    ),
    Invariant(
        "I4",
        "only committed events are seen",
        ("read-model-is-the-fold-of-the-log", "events-reach-the-position"),
        "read models against events read as committed",
        "dispatchers and gateways, which keep nothing: tests/simulation, tests/kafka/test_reader.py",
    ),
    Invariant(
        "I5",
        "granted + regenerated + refunded = available + reserved + captured + expired, at every event",
        (
            "balance-is-what-the-books-say",
            "no-balance-below-zero",
            "no-sum-below-zero",
            "a-reservation-is-made-once",
            "a-reservation-ends-once",
            "reservations-add-up",
            "an-end-settles-its-reservation",
            "at-most-one-charge-a-job",
            "only-a-success-is-charged",
            "a-charge-is-given-back-at-most-once",
            "a-price-is-of-a-published-plan",
        ),
        "events, by books of the audit's own",
    ),
    Invariant(
        "I6",
        "jobs in flight and uses of windows never pass their limits",
        ("running-attempts-within-limit", "windows-within-their-limit", "windows-get-back-what-was-taken"),
        "events, with the limits of the plan version that each reservation names",
        "limits of requests at the gateway, which are approximate: tests/http",
    ),
    Invariant(
        "I7",
        "legal transitions; versions and positions without a gap",
        (
            "every-event-can-be-read",
            "versions-gapless",
            "time-never-runs-backwards",
            "at-most-one-terminal-state",
            "one-attempt-at-a-time",
            "attempts-are-numbered-in-turn",
            "only-the-live-attempt-counts",
            "only-what-lives-starts",
            "only-what-waits-is-queued-again",
            "only-what-waits-expires",
            "what-has-ended-is-not-tried-again",
            "only-what-has-ended-is-hidden",
            "what-is-reused-had-succeeded",
            "what-is-reused-is-there",
            "assets-are-numbered-in-turn",
            "an-asset-ends-once",
            "an-album-ends-once",
            "only-what-lives-is-moved",
            "a-purge-goes-on-until-it-is-done",
            "a-purge-ends-once",
        ),
        "events",
    ),
    Invariant("I8", "all events of a command or none", ("events-of-a-command-whole", "commands-whole"), "events", ""),
    Invariant(
        "I9",
        "the position never goes back, and passes over nothing",
        ("positions-in-order", "no-command-is-passed-over", "positions-never-go-back", "state-has-its-position"),
        "events beside commands; the record `position` of the state topic (going back: --follow)",
    ),
    Invariant(
        "I10",
        "the log decided again gives the same bytes; state is the fold of events",
        (
            "decided-again-the-same",
            "decided-elsewhere-the-same",
            "events-fold",
            "state-is-the-fold-of-events",
        ),
        "commands decided again in this process and with --hash-seed N in others; the state topic",
        "histories of earlier releases: tests/golden, tests/specification/test_stored.py",
    ),
    Invariant(
        "I11",
        "read models are the fold of the log, and never go back",
        ("read-model-is-the-fold-of-the-log", "read-models-never-go-back"),
        "PostgreSQL, as of the positions in one snapshot (going back: --follow)",
    ),
    Invariant(
        "I12",
        "who was told of a write sees it in the next read",
        ("what-was-told-stands-on-the-log",),
        "lines of kind `read` in the client's own log (--told FILE)",
        "how long a read waits: tests/end_to_end/test_read_your_writes.py",
    ),
    Invariant(
        "I13",
        "what is stored is there as it was written, or its purge is on the log",
        (
            "what-is-stored-is-there",
            "what-is-stored-is-what-was-written",
            "an-object-is-written-once",
            "no-live-bytes-are-purged",
        ),
        "the object store beside events (--objects): sizes of all, sha256 of a sample; orphans are listed",
    ),
    Invariant(
        "I14",
        "an attempt has its effect once, however often it ran",
        ("only-the-live-attempt-counts", "at-most-one-terminal-state", "at-most-one-charge-a-job"),
        "events",
        "that work may run twice, by design, leaves no trace: tests/specification/test_dispatch_workflow.py",
    ),
    Invariant(
        "I15",
        "after the last fault everything ends and nothing is left open",
        ("every-job-ends", "the-log-is-at-rest"),
        "--quiet-log: live jobs, reservations and slots; open transactions; commands that nobody decided",
        "memory, file handles, temporary disk and /dev/shm over time: tests/end_to_end/test_restarts.py, the soak",
    ),
)


def explained() -> Iterator[str]:
    """The table as text, for ``darkroom audit --explain``."""
    for invariant in INVARIANTS:
        yield f"{invariant.name}  {invariant.asks}"
        yield f"    checked in: {invariant.where}"
        yield f"    laws: {', '.join(invariant.laws)}"
        if invariant.elsewhere:
            yield f"    not seen from here: {invariant.elsewhere}"
