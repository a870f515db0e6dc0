"""Bugs behind the decision: dispatch and read models."""

from tests.planted.bug import Bug

FOLLOWING = (
    Bug(
        "a batch of the projector may end within a command",
        "readers never see half a decision",
        "projections/intake.py",
        "            while count and (waiting[count - 1].offset > cut or not waiting[count - 1].event.last):\n",
        "            while count and waiting[count - 1].offset > cut:\n",
        ("simulation", "properties", "store"),
    ),
    Bug(
        "events that come again are added again",
        "no event counts twice in a read model",
        "projections/intake.py",
        "    return [_logged(partition, record) for record in records if record.offset >= begin]\n",
        "    return [_logged(partition, record) for record in records]\n",
        ("simulation", "properties", "store"),
    ),
    Bug(
        "the next write does not wait for the one before",
        "transactions of a projector follow each other",
        "projections/session.py",
        "        await self.finish()\n        self._under_way = asyncio.ensure_future",
        "        self._under_way = asyncio.ensure_future",
        ("simulation", "store"),
    ),
    Bug(
        "a position moves from wherever it is",
        "a second writer applies nothing again",
        "projections/tracking.py",
        "WHERE t.application_name = m.name AND t.notification_id = m.before AND m.before < m.after AND EXISTS (\n",
        "WHERE t.application_name = m.name AND m.before < m.after AND EXISTS (\n",
        ("store",),
    ),
    Bug(
        "the day's sum forgets what expired",
        "read models are folds of the log",
        "projections/balances.py",
        '    totals.day["expired"] += data.units\n',
        '    totals.day["expired"] += 0\n',
        ("properties", "simulation"),
    ),
    Bug(
        "a dispatcher reports what it did not do",
        "an outcome is that of its attempt",
        "processors/dispatch/runner.py",
        "RecordOutcome(item.job, item.attempt, outcome))\n",
        "RecordOutcome(item.job, item.attempt + 1, outcome))\n",
    ),
    Bug(
        "a quick attempt forgets to tell its start",
        "an attempt's start stands on the log before its end",
        "processors/dispatch/runner.py",
        "                await self._report(item, outcome, started)\n",
        "                await self._report(item, outcome)\n",
    ),
    Bug(
        "a lease is not renewed",
        "an attempt that is worked on keeps its lease",
        "processors/dispatch/workflow.py",
        "    return Begin(entry, max(1, item.lease_ms // _RENEWALS_A_LEASE), item.run_until_ms)\n",
        "    return Begin(entry, max(1, item.lease_ms * _RENEWALS_A_LEASE), item.run_until_ms)\n",
    ),
    Bug(
        "a failure of the engine's place costs the job an attempt",
        "an engine that is away costs nothing",
        "processors/dispatch/workflow.py",
        '            return failed("engine-unavailable", "engine-unavailable", reason)\n',
        '            return failed("permanent", "engine-unavailable", reason)\n',
    ),
)
