-- Every event in an event store of the library `eventsourcing`, as its PostgresAggregateRecorder writes it: the stream
-- (an account, or a partition's own) is the aggregate, its gapless version the aggregate's. `topic` is the event's type
-- and, of those about a job, a space and the job; `state` is the record's value as it stood on the topic `events`.
CREATE TABLE stored_events (
    originator_id text COLLATE "C" NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);

CREATE INDEX stored_events_of_jobs ON stored_events (originator_id, split_part(topic, ' ', 2), originator_version)
    WHERE topic LIKE '% %';

CREATE TYPE stored_event_text AS (
    originator_id text,
    originator_version bigint,
    topic text,
    state bytea
);
