"""Who gave a command is told by its events, whatever text names them: on the topic, in read models, in the archive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from api.archive_queries import ArchiveQueries
from api.documents import event_document
from api.queries import Queries
from infra.postgres.pool import create_pool
from infra.postgres.readers import Readers
from infra.settings import Settings
from ingest.envelopes import Sender
from processors.decide import decide
from processors.store import Store
from projections.archive import PostgresArchive
from projections.intake import Intake
from projections.ports import Move, Tracked, tracking_name
from projections.postgres import PostgresReadModels
from schemas import commands as cmd
from schemas import events as ev
from tests.databases import make_database
from tests.properties.scripts import T0, plan_of
from tests.unit.projections.logs import records_of

actors = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
STRANGE = ("user", "0f" * 32, "a\0b", "Zoë \U0001f600\u2028", "\\" * 64, "'\"%s{}")


def events_by(actor: str) -> list[ev.Event]:
    """What a job's submit and the hide after it lead to, asked for through a gateway's own way."""
    sender = Sender(
        account="acct_anna",
        product="p",
        plan="default",
        actor=actor,
        subject=None,
        trace=None,
        sent_ms=T0,
        gateway="gw_1",
    )
    commands = (cmd.SubmitJob("job_1", "a", {}), cmd.HideJob("job_1"))
    store, events = Store(0), list[ev.Event]()
    envelopes = [cmd.Envelope("cmd_0", "partition-0", "p", cmd.PublishPlan(plan_of(1)), T0)]
    envelopes += [cmd.decode_command(sender.encoded("cmd_1", command, None, None)) for command in commands]
    for offset, envelope in enumerate(envelopes):
        draft = decide(store.read, envelope, (0, offset, 0), T0)
        store.change(draft.changes)
        events += draft.events
    return events


@given(actors)
def test_events_name_the_actor_as_the_gateway_did(actor: str) -> None:
    for event in events_by(actor)[1:]:
        read = ev.decode_event(ev.encode_event(event))
        assert (read, read.actor) == (event, actor)
        assert event_document(ev.encode_event(event), "test")["data"]["actor"] == actor


@pytest.mark.parametrize("actor", STRANGE)
async def test_a_jobs_events_and_its_history_show_the_actor(postgres: Settings, actor: str) -> None:
    events = events_by(actor)
    dsn, records = make_database(postgres), records_of(events)
    store, archive = PostgresReadModels(dsn), PostgresArchive(dsn)
    generations = store.generations()
    work = Intake(generations, [0], store.positions(Intake.names(generations, [0]))).take_events({0: records})
    assert work is not None
    store.apply(work.moves, work.rows)
    name = tracking_name("archive", archive.generation(), 0)
    archive.positions([name])
    archive.write([Move(name, -1, Tracked(len(records) - 1))], {0: records})
    store.close()
    archive.close()
    pool = await create_pool(dsn, connections_max=2)
    readers = Readers(pool, 2)
    try:
        current = await Queries(readers).job_events("acct_anna", "job_1") or []
        stored = await ArchiveQueries(readers).job_events("acct_anna", "job_1")
    finally:
        await readers.close()
        await pool.close()
    wanted = [replace(event, actor=actor) for event in events if getattr(event.data, "job", None) == "job_1"]
    assert len(wanted) == 6
    assert [ev.decode_event(value) for value in current] == wanted == [ev.decode_event(value) for value in stored]
