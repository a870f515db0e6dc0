-- Groups, results of every kind, refunds, what was not made, and counts for statistics.
-- `outcome` is the status of a job that has ended; `run` (which engine really ran), `sealed_at` and `thumbnail` are as in
-- the events; `result_gone` is the word of why access to the result has ended. Rows that were written before this file
-- lack `outcome` and counts until `darkroom rebuild --model jobs`.
ALTER TABLE jobs ADD COLUMN mask text;
ALTER TABLE jobs ADD COLUMN sealed_at json;
ALTER TABLE jobs ADD COLUMN group_id text;
ALTER TABLE jobs ADD COLUMN reused_of text;
ALTER TABLE jobs ADD COLUMN outcome text;
ALTER TABLE jobs ADD COLUMN run json;
ALTER TABLE jobs ADD COLUMN model_ms bigint;
ALTER TABLE jobs ADD COLUMN asset_number bigint;
ALTER TABLE jobs ADD COLUMN thumbnail json;
ALTER TABLE jobs ADD COLUMN refunded bigint NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN refunded_ms bigint;
ALTER TABLE jobs ADD COLUMN result_gone text;

-- None of these holds a column that changes before the job's end: a job's way through queue and run then stays within
-- its page (HOT), and only its end touches indexes. What stands last in an index only spares reading rows that a filter
-- leaves out.
DROP INDEX jobs_in_order;
CREATE INDEX jobs_in_order ON jobs (account, version, model, lane);
CREATE INDEX jobs_live ON jobs (account, version) WHERE outcome IS NULL;
CREATE INDEX jobs_by_outcome ON jobs (account, outcome, version, ended_ms) WHERE outcome IS NOT NULL;
CREATE INDEX jobs_by_group ON jobs (account, group_id, version) WHERE group_id IS NOT NULL;
CREATE INDEX jobs_by_input ON jobs (account, input, version) WHERE input IS NOT NULL;
CREATE INDEX jobs_by_result ON jobs (account, asset) WHERE asset IS NOT NULL;

CREATE TABLE job_groups (
    account text NOT NULL,
    group_id text NOT NULL,
    version bigint NOT NULL,
    jobs integer NOT NULL,
    cost bigint NOT NULL,
    balance bigint NOT NULL,
    plan_version bigint NOT NULL,
    accepted_ms bigint NOT NULL,
    position text NOT NULL,
    PRIMARY KEY (account, group_id)
);

-- Ids that came with a command that made nothing under them: `refusal` says why, or `made` what an earlier one made.
CREATE TABLE not_made (
    account text NOT NULL,
    subject text NOT NULL,
    version bigint NOT NULL,
    command text NOT NULL,
    refusal text,
    made text,
    time_ms bigint NOT NULL,
    position text NOT NULL,
    PRIMARY KEY (account, subject, version)
);

-- How many jobs ended (or were refunded) on a UTC day, by how long they waited and ran: buckets of `schemas.durations`,
-- -1 where a job has none. Counts of any rows add up, so percentiles of any span can be asked.
CREATE TABLE job_counts (
    account text NOT NULL,
    day_ms bigint NOT NULL,
    model text NOT NULL,
    status text NOT NULL,
    wait integer NOT NULL,
    run integer NOT NULL,
    jobs bigint NOT NULL,
    credits bigint NOT NULL,
    PRIMARY KEY (account, day_ms, model, status, wait, run)
) WITH (fillfactor = 80);
