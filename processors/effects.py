"""Drafts into the records of one transaction. Pure: events, work items, replies, dead letters, changed state, position.

Everything a batch of commands leads to stands in one Kafka transaction (design section 1): a reader of committed
records sees all of it or none.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from infra.kafka.ports import Outgoing
from processors.assets.state import Purge, purge_key
from processors.draft import Draft
from processors.jobs.decide import stored_object
from processors.jobs.state import Job, job_key
from schemas import topics
from schemas.cloudevents import rfc3339, source_of
from schemas.events import AttemptReleased, Event, EventData, PurgeReleased, cloud_event_type, encode_event
from schemas.replies import Reply, encode_replies
from schemas.work import PurgeItem, WorkItem, encode_work

REPLIES_A_RECORD_MAX = 200
_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")


class Addressing:
    """Where records go: the deployment's name for CloudEvents' `source`, and the number of partitions."""

    __slots__ = ("partitions", "source")

    def __init__(self, deployment: str, partitions: int) -> None:
        self.source = ("ce_source", source_of(deployment).encode())
        self.partitions = partitions


@lru_cache(maxsize=256)
def _time_header(time_ms: int) -> tuple[str, bytes]:
    return ("ce_time", rfc3339(time_ms).encode())


@lru_cache(maxsize=64)
def _type_header(data: type[EventData]) -> tuple[str, bytes]:
    return ("ce_type", cloud_event_type(data).encode())


def draft_records(draft: Draft, addressing: Addressing) -> list[Outgoing]:
    """Events and work items of one draft.

    An event is a record of `events`: CloudEvents 1.0, binary mode of the Kafka protocol binding. Its time, its trace
    and nearly always its account are those of the draft's other events.
    """
    partition, time_ms, trace = draft.place[0], draft.time_ms, draft.envelope.trace
    source, time, stream, account = addressing.source, _time_header(time_ms), "", b""
    records: list[Outgoing] = []
    for event in draft.events:
        if event.account != stream:
            stream = event.account
            account = stream.encode()
            subject = ("ce_subject", account)
        kind, identifier = _type_header(type(event.data)), ("ce_id", event.position.encode())
        headers: tuple[tuple[str, bytes], ...]
        headers = (_SPEC_VERSION, identifier, source, kind, subject, time, _CONTENT_TYPE)
        if trace is not None:
            headers = (*headers, ("ce_traceparent", trace.encode()))
        records.append(Outgoing(topics.EVENTS, partition, account, encode_event(event), headers, time_ms))
        if type(event.data) is AttemptReleased:
            records.append(_work_record(draft, event, event.data, partition))
        elif type(event.data) is PurgeReleased:
            records.append(_purge_record(draft, event, event.data, partition))
    return records


def _work_record(draft: Draft, event: Event, released: AttemptReleased, partition: int) -> Outgoing:
    job = draft.get(job_key(event.account, released.job))
    header = draft.account(event.account)
    plan = draft.plan()
    assert isinstance(job, Job)
    assert header is not None
    assert plan is not None
    item = WorkItem(
        job=released.job,
        account=event.account,
        product=header.product,
        attempt=released.attempt,
        lane=job.lane,
        model=job.model,
        engine=job.engine,
        engine_version=job.engine_version,
        params=job.params,
        input=stored_object(draft, event.account, job.input),
        sealed=job.sealed,
        output_key=f"{event.account}/{released.job}/{released.attempt}",
        lease_until_ms=released.lease_until_ms,
        lease_ms=plan.leases.running_ms,
        run_until_ms=released.run_until_ms,
        client_waits_until_ms=job.client_waits_until_ms,
        trace=job.trace,
        mask=stored_object(draft, event.account, job.mask),
        sealed_at=job.sealed_at,
        quarantine=released.quarantine,
    )
    topic = topics.dispatch_topic(job.lane)
    return Outgoing(topic, partition, released.job.encode(), encode_work(item), (), event.time_ms)


def _purge_record(draft: Draft, event: Event, released: PurgeReleased, partition: int) -> Outgoing:
    purge = draft.get(purge_key(event.account, released.purge))
    assert isinstance(purge, Purge)
    item = PurgeItem(
        purge=released.purge,
        account=event.account,
        product=draft.header(event.account).product,
        keys=released.keys,
        at_ms=purge.at_ms,
        prefix=released.prefix,
    )
    topic = topics.dispatch_topic(topics.HOUSEKEEPING)
    return Outgoing(topic, partition, released.purge.encode(), encode_work(item), (), event.time_ms)


def reply_records(answers: Iterable[tuple[str, Reply]], partition: int, time_ms: int) -> list[Outgoing]:
    """Replies packed per gateway, in order; an owner writes to its own partition of `replies` only."""
    by_gateway: dict[str, list[Reply]] = {}
    for gateway, reply in answers:
        by_gateway.setdefault(gateway, []).append(reply)
    records = []
    for gateway, replies in by_gateway.items():
        for at in range(0, len(replies), REPLIES_A_RECORD_MAX):
            value = encode_replies(replies[at : at + REPLIES_A_RECORD_MAX])
            records.append(Outgoing(topics.REPLIES, partition, gateway.encode(), value, (), time_ms))
    return records


def dead_letter(item: bytes, place: tuple[int, int, int], reason: str, account: str, time_ms: int) -> Outgoing:
    """What could not be read or decided, whole, with where it stood and why."""
    partition, offset, index = place
    headers = (("reason", reason.encode()), ("account", account.encode()), ("topic", topics.COMMANDS.encode()))
    return Outgoing(topics.DEAD_LETTERS, partition, f"{partition}.{offset}.{index}".encode(), item, headers, time_ms)


def state_records(writes: Sequence[tuple[bytes, bytes | None]], partition: int, time_ms: int) -> list[Outgoing]:
    """Changed state as records of `accounts`."""
    return [Outgoing(topics.ACCOUNTS, partition, key, value, (), time_ms) for key, value in writes]
