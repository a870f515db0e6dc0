-- How each job stands, and its events in order.
-- Times are UTC milliseconds, amounts whole units, positions `partition.offset.index.ordinal` of the source command.

CREATE TABLE IF NOT EXISTS jobs (
    account text NOT NULL,
    job text NOT NULL,
    version bigint NOT NULL,
    product text NOT NULL,
    model text NOT NULL,
    engine text NOT NULL,
    engine_version text NOT NULL,
    lane text NOT NULL,
    params json NOT NULL,
    input text,
    sealed text,
    cost bigint NOT NULL,
    plan text NOT NULL,
    plan_version bigint NOT NULL,
    accepted_ms bigint NOT NULL,
    accepted_at text NOT NULL,
    status text NOT NULL,
    charged bigint NOT NULL DEFAULT 0,
    balance bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    queued_ms bigint,
    running_ms bigint,
    ended_ms bigint,
    asset text,
    result json,
    reason text,
    detail text,
    position text NOT NULL,
    PRIMARY KEY (account, job)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX IF NOT EXISTS jobs_in_order ON jobs (account, version);

CREATE TABLE IF NOT EXISTS job_events (
    account text NOT NULL,
    job text NOT NULL,
    version bigint NOT NULL,
    events text NOT NULL,
    PRIMARY KEY (account, job, version)
);
