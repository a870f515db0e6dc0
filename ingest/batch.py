"""Batches: many jobs in one request, each decided by itself and answered by itself, in order.

Theory of operation. The body is cut into its items, and the items go on in slices: checked, sealed, encoded, and
appended while the next slice is made ready. Between slices other requests run, and because the log gets one record of
ours after the other, their commands find a place between. An item that is wrong gets its own problem and costs its
neighbours nothing. An item's idempotency key is made of the request's key and its number: whatever cut a batch off, the
same request sends all items again and completes it, and those that were decided before give their answers again.

    items -> slice: checked -> sealed -> encoded --append_many--> on the log -> replies -> answer, slice by slice
               | wrong                             | log away
               v                                   v
          its problem                     503 for this slice and the rest, with the key to send again

The answer begins once everything is on the log and is sent while decisions still come. A decision that is not there in
time is `pending`, with its job's URL.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra import failpoints
from infra.http.audit import accessed
from infra.http.auth import add_headers, caller_of
from infra.http.problems import Problem, bad_field
from infra.http.requests import decode_json, query_of
from infra.http.routing import port_of
from infra.kafka.ports import Appended
from infra.sealing.cipher import DataKey, seal
from infra.sealing.content import JOB
from ingest.batch_shapes import BatchQuery
from ingest.bodies import BATCH_JOBS_MAX, JSON, NDJSON, read_jobs, wants_ndjson
from ingest.envelopes import APPEND_FAULTS, Sender, append_problem, unavailable
from ingest.groups import answer_group
from ingest.idempotency import idempotency_key
from ingest.intake import Intake, Minted, Who, caller_as_who
from ingest.jobs import CheckedJob, input_problem, of_item
from ingest.replies import NUMBERED, Waiter
from ingest.results import Results, gather
from ingest.shapes import Preference, job_decoder, preference_of
from ingest.streams import Streamed
from schemas.commands import JOBS_A_GROUP_MAX, SubmitJob
from schemas.identifiers import partition_of
from schemas.positions import Position

SLICE = 250
_APPENDING_MAX = 3
_NAMED_MAX = 500
_encoder = msgspec.json.Encoder()


async def submit_batch(request: Request) -> Response:
    """POST /v1/jobs:batch: 200 with an answer for each job; with `atomic=true` all jobs or none."""
    intake = port_of(request, Intake)
    who = caller_as_who(caller_of(request))
    atomic, prefer = query_of(request, BatchQuery).atomic, preference_of(request)
    minted = intake.minted(request)
    if prefer.applied is not None:
        add_headers(request.scope, [(b"preference-applied", prefer.applied.encode())])
    batch, jobs = None, []
    async with intake.batches.taken(who.account):
        items = await read_jobs(request, JOBS_A_GROUP_MAX if atomic else BATCH_JOBS_MAX)
        if atomic:
            jobs = checked_items(intake, who, items)
        else:
            batch = _Batch(intake, request, who, minted, prefer, len(items))
            await batch.send(items)
    if batch is None:
        return await answer_group(intake, request, who, minted, jobs, prefer)
    await batch.wait()
    ndjson = wants_ndjson(request)
    return Streamed(200, NDJSON if ndjson else JSON, batch.answer(ndjson), batch.waiter.close)


def checked_item(intake: Intake, who: Who, item: bytes | msgspec.Raw) -> CheckedJob:
    """The job in an item of a body. Raises Problem 400 naming the field."""
    body = decode_json(item, job_decoder)
    if body.input is not None and body.input.url is not None:
        raise bad_field("input.url", "Jobs that are sent together work on assets; fetch the URL with /v1/assets:fetch.")
    return intake.params.job(body, who.product)


def checked_items(intake: Intake, who: Who, items: Sequence[bytes | msgspec.Raw]) -> list[CheckedJob]:
    """All jobs. Raises Problem 400 for the first that is wrong, naming it as `jobs[3]`."""
    jobs = []
    for number, item in enumerate(items):
        try:
            jobs.append(checked_item(intake, who, item))
        except Problem as problem:
            raise of_item(problem, number) from problem
    return jobs


class _Packed(NamedTuple):
    """Items of a slice that go to the log, and their numbers."""

    numbers: list[int]
    items: list[bytes]


class _Batch:
    """One request under way."""

    def __init__(
        self, intake: Intake, request: Request, who: Who, minted: Minted, prefer: Preference, count: int
    ) -> None:
        """Raises Problem 503 when too many wait."""
        self._intake, self._request, self._who, self._minted, self._prefer = intake, request, who, minted, prefer
        self._count = count
        jobs = [intake.ports.ids.mint("job") for _ in range(count)]
        self.results = Results(jobs, intake.ports.base_url)
        self.waiter: Waiter = intake.waiter(minted, who)
        self._appending: deque[tuple[_Packed, asyncio.Task[list[Appended]]]] = deque()
        self._last: Position | None = None
        self._fault: Problem | None = None

    async def send(self, items: Sequence[bytes | msgspec.Raw]) -> None:
        """Put what is right on the log. Raises Problem 503 where nothing came there because it was away."""
        with self._closed_by_errors():
            await self._send(items)

    async def wait(self) -> None:
        """Wait for the ends of all jobs, as far as the client does."""
        if self._prefer.result_s and self._last is not None:
            with self._closed_by_errors():
                await self._ended(self._last)

    @contextmanager
    def _closed_by_errors(self) -> Iterator[None]:
        """Without an answer to come nobody waits for replies."""
        try:
            yield
        except BaseException:
            self.waiter.close()
            raise

    async def _send(self, items: Sequence[bytes | msgspec.Raw]) -> None:
        intake, who = self._intake, self._who
        sender, key = await intake.sender(self._request, who), await intake.data_key(who.account)
        for start in range(0, self._count, SLICE):
            numbers = range(start, min(start + SLICE, self._count))
            packed = await self._packed(numbers, items, sender, key)
            if packed.items:
                partition = partition_of(who.account, intake.ports.partitions)
                appending = asyncio.create_task(_appended(intake, partition, packed.items))
                self._appending.append((packed, appending))
            while len(self._appending) >= _APPENDING_MAX:
                await self._landed()
            if self._fault is not None:
                self._give_up(numbers.stop)
                break
            await asyncio.sleep(0)
        while self._appending:
            await self._landed()
        if self._last is None:
            if self._fault is not None:
                raise self._fault
            return
        accessed(self._request, *(standing.job for standing in self.results.standings[:_NAMED_MAX]))
        intake.acknowledged(self._request, who, self._last)

    async def _ended(self, last: Position) -> None:
        intake, results, account = self._intake, self.results, self._who.account
        limit_s, wait_s = intake.ports.decision_wait_s, float(self._prefer.result_s)
        await gather(intake, account, self.waiter, results, results.are_decided, limit_s)
        ended = results.have_ended
        await gather(intake, account, self.waiter, results, ended, wait_s, ended=True, ask_first=True)
        intake.acknowledged(self._request, self._who, results.last_position() or last)

    async def answer(self, ndjson: bool) -> AsyncIterator[bytes]:
        """The body of the answer, piece by piece, as decisions come; those that are late are pending."""
        results, waits = self.results, self._prefer.decided and not self._prefer.result_s
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + (self._intake.ports.decision_wait_s if waits else 0.0)
        account = self._who.account
        for start in range(0, self._count, SLICE):
            stop = min(start + SLICE, self._count)
            decided, left_s = partial(results.decided_up_to, stop), deadline_s - loop.time()
            await gather(self._intake, account, self.waiter, results, decided, left_s)
            lines = [_encoder.encode(results.document(number)) for number in range(start, stop)]
            if ndjson:
                yield b"\n".join(lines) + b"\n"
            else:
                yield (b"," if start else b'{"results":[') + b",".join(lines)
            await asyncio.sleep(0)
        if not ndjson:
            yield b"]}"

    async def _packed(
        self, numbers: range, items: Sequence[bytes | msgspec.Raw], sender: Sender, key: DataKey
    ) -> _Packed:
        """The slice's commands, without the items that are wrong."""
        jobs: dict[int, CheckedJob] = {}
        for number in numbers:
            try:
                jobs[number] = checked_item(self._intake, self._who, items[number])
            except Problem as problem:
                self.results.refuse(number, problem)
        assets = {asset for job in jobs.values() for asset in job.assets}
        sizes = await self._intake.sizes.of(self._who.account, assets) if assets else {}
        packed = _Packed([], [])
        for number, job in jobs.items():
            self.results.models[number] = job.model
            try:
                wrong = input_problem(job, sizes)
                if wrong is not None:
                    raise wrong
                packed.items.append(self._encoded(number, job, sender, key))
                packed.numbers.append(number)
            except Problem as problem:
                self.results.refuse(number, problem)
        return packed

    def _encoded(self, number: int, job: CheckedJob, sender: Sender, key: DataKey) -> bytes:
        secrets, wait_s, account = job.secrets, self._prefer.result_s, self._who.account
        identifier_key, name = self._intake.ports.identifier_key, self.results.standings[number].job
        command = SubmitJob(
            job=name,
            model=job.model,
            params=job.params.values,
            input=job.input,
            sealed=None if secrets is None else seal(key, account, JOB, secrets),
            client_waits_until_ms=sender.sent_ms + wait_s * 1000 if wait_s else None,
            mask=job.mask,
            content=job.content_hash(identifier_key, account),
            bulk=True,
        )
        item_key = f"{self._minted.key}\n{number}"
        idempotency = idempotency_key(identifier_key, account, "submit-batch", item_key, job.content)
        correlation = f"{self._minted.suffix}{NUMBERED}{number}" if self._prefer.decided else None
        return sender.encoded(f"cmd_{name.partition('_')[2]}", command, idempotency, correlation)

    async def _landed(self) -> None:
        """Wait for the oldest slice that is on its way, and note where it is, or that it is not."""
        packed, appending = self._appending.popleft()
        try:
            appended = await appending
        except APPEND_FAULTS as error:
            self._fault = append_problem(error, self._minted.key)
            for number in packed.numbers:
                self.results.refuse(number, self._fault)
            return
        partition = partition_of(self._who.account, self._intake.ports.partitions)
        for number, place in zip(packed.numbers, appended, strict=True):
            self.results.on_log(number, f"{partition}.{place.offset}.{place.item_index}.0")
        self._last = Position(partition, appended[-1].offset, appended[-1].item_index)

    def _give_up(self, start: int) -> None:
        detail = "The log went away before this job came there; send the whole batch again with its Idempotency-Key."
        for number in range(start, self._count):
            self.results.refuse(number, unavailable(detail))


async def _appended(intake: Intake, partition: int, items: Sequence[bytes]) -> list[Appended]:
    """Put a slice on the log; where each item is. Raises APPEND_FAULTS."""
    failpoints.passed("gateway.append-many.before")
    appended = await intake.ports.appender.append_many(partition, items)
    failpoints.passed("gateway.append-many.after")
    return appended
