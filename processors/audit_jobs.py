"""The laws of jobs and their attempts, checked on an account's events: each state follows one that may precede it.

    accepted -> released (takes a slot) -> started -> ended (gives it back) -> requeued -> released …
        and, from where that may be: succeeded | failed | canceled | expired, once

What an account knows here is bounded by its live jobs and the slots that are still taken.
"""

from collections.abc import Iterator

import msgspec

from schemas import events as ev

Broken = tuple[str, str]
_OfAttempt = ev.JobStarted | ev.LeaseRenewed | ev.AttemptEnded | ev.JobSucceeded | ev.JobFailed


class JobBooks(msgspec.Struct, array_like=True):
    """An account's jobs that live, or hold a slot."""

    live: dict[str, str] = {}  # lane of each job
    slots: dict[str, tuple[str, int]] = {}  # lane and attempt of each job that holds a slot
    attempts: dict[str, int] = {}  # number of the last attempt of each live job
    slots_max: dict[str, int] = {}

    def running(self, lane: str) -> int:
        """Slots taken in the lane."""
        return sum(held == lane for held, _ in self.slots.values())

    def accept(self, accepted: ev.JobAccepted) -> None:
        """A job begins; whether it may is asked elsewhere."""
        self.live[accepted.job] = accepted.lane
        self.slots_max[accepted.lane] = max(accepted.in_flight_jobs_max, self.running(accepted.lane))

    def add(self, data: ev.EventData) -> Iterator[Broken]:
        """(law, detail) of each law that the next event breaks."""
        match data:
            case ev.AttemptReleased():
                yield from self._release(data)
            case ev.JobStarted() | ev.LeaseRenewed() | ev.AttemptEnded() | ev.JobSucceeded() | ev.JobFailed():
                yield from self._of_attempt(data)
            case ev.JobRequeued(job=job):
                if job not in self.live or job in self.slots:
                    yield "only-what-waits-is-queued-again", job
            case ev.JobExpired(job=job):
                if job in self.slots:
                    yield "only-what-waits-expires", job
                yield from self._end(job)
            case ev.JobCanceled(job=job):
                yield from self._end(job)
            case ev.JobHidden(job=job):
                if job in self.live:
                    yield "only-what-has-ended-is-hidden", job
            case _:
                pass

    def _release(self, data: ev.AttemptReleased) -> Iterator[Broken]:
        job = data.job
        if job not in self.live or job in self.slots:
            yield "one-attempt-at-a-time", job
        if data.attempt != self.attempts.get(job, 0) + 1:
            yield "attempts-are-numbered-in-turn", f"{data.attempt} of {job} follows {self.attempts.get(job, 0)}"
        self.attempts[job] = data.attempt
        lane = self.live.get(job, "")
        self.slots[job] = lane, data.attempt
        running, limit = self.running(lane), self.slots_max.get(lane, 0)
        if running > limit:
            yield "running-attempts-within-limit", f"{running} of {limit} in {lane}"

    def _of_attempt(self, data: _OfAttempt) -> Iterator[Broken]:
        job, held = data.job, self.slots.get(data.job)
        if (None if held is None else held[1]) != data.attempt:
            yield "only-the-live-attempt-counts", f"{data.attempt} of {job}, {held} holds a slot"
        if isinstance(data, ev.JobStarted) and job not in self.live:
            yield "only-what-lives-starts", job
        if isinstance(data, ev.AttemptEnded) and (data.retry_at_ms is not None) != (job in self.live):
            yield "what-has-ended-is-not-tried-again", job
        if isinstance(data, ev.AttemptEnded | ev.JobSucceeded | ev.JobFailed):
            self.slots.pop(job, None)
        if isinstance(data, ev.JobSucceeded | ev.JobFailed):
            yield from self._end(job)
        elif job not in self.live:
            self.attempts.pop(job, None)

    def _end(self, job: str) -> Iterator[Broken]:
        if self.live.pop(job, None) is None:
            yield "at-most-one-terminal-state", job
        self.attempts.pop(job, None)
