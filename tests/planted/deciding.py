"""Bugs in deciding, in money and in whose turn it is."""

# ruff: noqa: E501 - places are quoted as they stand

from tests.planted.bug import Bug

DECIDING = (
    Bug(
        "release on success",
        "a job that succeeded is charged once",
        "processors/jobs/endings.py",
        "    draft.emit(account, ev.CreditsCaptured(name, reservation.units, reservation.plan_version, balance))\n",
        '    release(draft, account, name, "succeeded")\n',
    ),
    Bug(
        "charge what failed",
        "a failed job costs nothing",
        "processors/jobs/endings.py",
        '    balance = release(draft, account, name, "failed")\n',
        "    balance = draft.header(account).available\n"
        "    draft.emit(account, ev.CreditsCaptured(name, reservation_of(draft, account, name).units, 1, balance))\n",
    ),
    Bug(
        "an expired job keeps its credits",
        "each reservation ends",
        "processors/jobs/endings.py",
        '    balance = release(draft, account, name, "expired")\n',
        "    balance = draft.header(account).available\n",
    ),
    Bug(
        "settle twice",
        "the first outcome decides the job",
        "processors/accounts/evolve.py",
        '    assert isinstance(reservation, Reservation), f"the reservation of {job} has ended before"\n'
        "    state.changes[key] = None\n",
        '    assert isinstance(reservation, Reservation), f"the reservation of {job} has ended before"\n',
    ),
    Bug(
        "an outcome of any attempt counts",
        "only the live attempt ends a job",
        "processors/jobs/decide.py",
        "    if job is None or job.attempt != command.attempt or not isinstance(job.phase, Attempted):\n",
        "    if job is None or not isinstance(job.phase, Attempted):\n",
    ),
    Bug(
        "a cancel frees the slot at once",
        "a slot is taken until its attempt ends",
        "processors/jobs/evolve.py",
        "    if isinstance(job.phase, Released | Running):\n        ending",
        "    if isinstance(job.phase, Running) and job.attempt > 99:\n        ending",
    ),
    Bug(
        "an outcome after a cancel keeps the slot",
        "every slot comes back",
        "processors/jobs/decide.py",
        '        draft.emit(account, ev.AttemptEnded(name, command.attempt, "outcome-after-cancel", False, None))\n',
        '        ignore_late(draft, "outcome-after-cancel", name)\n',
    ),
    Bug(
        "a repeat is a new command",
        "a key makes one job",
        "processors/accounts/entry.py",
        "    if earlier is None or earlier.expires_ms <= draft.time_ms:\n        return False\n",
        "    if earlier is None or earlier.expires_ms >= draft.time_ms:\n        return False\n",
    ),
    Bug(
        "a repeat with another body is answered as the first",
        "the same key with another body is refused",
        "processors/accounts/entry.py",
        "    if earlier.fingerprint != envelope.idempotency.fingerprint:\n",
        "    if False:\n",
    ),
    Bug(
        "a key's record names the wrong position",
        "a repeat gets the first one's answer",
        "processors/accounts/evolve.py",
        '        source = event.position.rpartition(".")[0] + ".0"\n',
        "        source = event.position\n",
        ("properties", "simulation"),
    ),
    Bug(
        "a repeat forgets who waits",
        "whoever waits for a job's end is told",
        "processors/jobs/evolve.py",
        "        state.changes[key] = replace(job, replies=_with_address(job.replies, data.reply))\n",
        "        state.changes[key] = job\n",
    ),
    Bug(
        "reserved is not counted",
        "granted = available + reserved + captured + expired at every prefix",
        "processors/accounts/ledger.py",
        "        reserved=account.reserved + units,\n",
        "        reserved=account.reserved,\n",
    ),
    Bug(
        "a charge takes one unit more",
        "captured is what was reserved",
        "processors/accounts/ledger.py",
        "        captured=account.captured + reservation.units,\n",
        "        captured=account.captured + reservation.units + (reservation.units > 2),\n",
    ),
    Bug(
        "credits below zero",
        "nobody spends what is not there",
        "processors/accounts/ledger.py",
        "    if terms.uses_balance and cost > account.available:\n",
        "    if terms.uses_balance and cost > account.available + 1:\n",
    ),
    Bug(
        "one more than the lane takes",
        "limits of work in flight hold at every prefix",
        "processors/jobs/round.py",
        "share.released < released_max",
        "share.released <= released_max",
    ),
    Bug(
        "the account's limit of running jobs is off by one",
        "limits of work in flight hold at every prefix",
        "processors/jobs/evolve.py",
        "    qualifies = use.queued > 0 and use.running < use.limit\n",
        "    qualifies = use.queued > 0 and use.running <= use.limit\n",
    ),
    Bug(
        "a lane that has room is not drawn from after an outcome",
        "no job is stuck",
        "processors/jobs/decide.py",
        '            retry(draft, account, name, job, "engine-unavailable", outcome.detail, counted=False, run=outcome.run)\n'
        "    draw(draft, job.lane)\n",
        '            retry(draft, account, name, job, "engine-unavailable", outcome.detail, counted=False, run=outcome.run)\n',
    ),
    Bug(
        "a lease that ends is not noticed",
        "an attempt whose dispatcher fell silent is given to another",
        "processors/jobs/timers.py",
        "        elif isinstance(record, Job) and record.due_ms <= draft.time_ms:\n",
        "        elif isinstance(record, Job) and record.due_ms <= draft.time_ms and not isinstance(record.phase, Running):\n",
    ),
    Bug(
        "the order of a set decides",
        "the same log decides the same in every process",
        "processors/jobs/timers.py",
        "    for account, keys in forgotten.items():\n",
        "    for account, keys in [(name, forgotten[name]) for name in set(forgotten)]:\n",
    ),
)
