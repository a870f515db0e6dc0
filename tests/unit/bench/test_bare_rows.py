"""The rows that bare components move are those that the projector would write."""

from projections import rows as r
from projections.job_tables import COPIES
from schemas.events import decode_event
from tests.bench.bare_rows import KEYS, KnownRows, column_types, upsert_statement
from tests.bench.projection import SyntheticLog

PARTITIONS = 8
EVENTS = 12_000


def test_every_event_of_a_job_is_in_the_rows_and_no_key_comes_twice_in_a_batch() -> None:
    log, known = SyntheticLog(PARTITIONS), KnownRows(PARTITIONS)
    moved: list[str] = []
    made: list[str] = []
    for _ in range(2):
        values = log.take(EVENTS)
        texts = (value.decode() for part in values.values() for value in part)
        made += [text for text in texts if '"job":' in text and '"type":"asset-registered"' not in text]
        for batch in known.batches(values):
            for kind, rows in batch.rows.items():
                at = [kind.__struct_fields__.index(name) for name in KEYS[kind]]
                assert len({tuple(row[number] for number in at) for row in rows}) == len(rows), kind
                assert [list(column) for column in zip(*rows, strict=True)] == list(map(list, batch.columns[kind]))
            events = r.JobEvents.__struct_fields__.index("events")
            moved += [line for row in batch.rows.get(r.JobEvents, ()) for line in row[events].split("\n")]
    positions = {decode_event(line.encode()).position for line in moved}
    assert len(positions) == len(moved)
    assert positions == {decode_event(text.encode()).position for text in made}


def test_types_are_those_of_the_tables() -> None:
    types = {"int8": "bigint", "text": "text"}
    assert list(column_types(r.JobEvents).values()) == [types[name] for name in COPIES[r.JobEvents][1]]
    assert column_types(r.NewJob)["result"] == "json"
    assert upsert_statement(r.JobCount) == (
        "INSERT INTO public.bench_upsert_jobcount (account, job, day_ms, status) SELECT * FROM"
        " unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) ON CONFLICT (account, job, status)"
        " DO UPDATE SET day_ms = excluded.day_ms"
    )
