-- What a rebuild from the topics `events` and `keys` can recreate, and nothing else.
-- Times are UTC milliseconds, amounts whole units, positions `partition.offset.index.ordinal` of the source command.

-- One row for each read model, generation and partition: `<model>.<generation>.<partition>`.
-- notification_id is the offset of the last applied record; source_* is the position of the command it came from.
CREATE TABLE tracking (
    application_name text PRIMARY KEY,
    notification_id bigint NOT NULL,
    source_offset bigint NOT NULL DEFAULT -1,
    source_index integer NOT NULL DEFAULT 0,
    source_ordinal integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- The library that owns this table's first two columns marks it as being of the kind with one row a name.
INSERT INTO tracking (application_name, notification_id) VALUES ('__migration__', 1);

CREATE TABLE jobs (
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

CREATE UNIQUE INDEX jobs_in_order ON jobs (account, version);

CREATE TABLE job_events (
    account text NOT NULL,
    job text NOT NULL,
    version bigint NOT NULL,
    events text NOT NULL,
    PRIMARY KEY (account, job, version)
);

CREATE TABLE accounts (
    account text PRIMARY KEY,
    product text,
    plan text,
    opened_ms bigint,
    version bigint NOT NULL,
    granted bigint NOT NULL DEFAULT 0,
    regenerated bigint NOT NULL DEFAULT 0,
    refunded bigint NOT NULL DEFAULT 0,
    captured bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    since_ms bigint,
    position text NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE account_windows (
    account text NOT NULL,
    kind text NOT NULL,
    start_ms bigint NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (account, kind)
) WITH (fillfactor = 70);

CREATE TABLE ledger (
    account text NOT NULL,
    version bigint NOT NULL,
    kind text NOT NULL,
    amount bigint NOT NULL,
    balance bigint NOT NULL,
    job text,
    plan_version bigint,
    reason text,
    time_ms bigint NOT NULL,
    position text NOT NULL,
    PRIMARY KEY (account, version)
);

CREATE TABLE assets (
    account text NOT NULL,
    asset text NOT NULL,
    number bigint NOT NULL,
    key text NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    format text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    sealed text,
    job text,
    created_ms bigint NOT NULL,
    position text NOT NULL,
    PRIMARY KEY (account, asset)
);

-- What a partition's own stream says: its version and the newest plan in force there.
CREATE TABLE partitions (
    partition integer PRIMARY KEY,
    version bigint NOT NULL,
    plan_version bigint,
    plan json
);

CREATE TABLE data_keys (
    account text NOT NULL,
    key_id text NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (account, key_id)
);
