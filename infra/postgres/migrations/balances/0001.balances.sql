-- Each account's totals and windows, and the lines of its ledger.
-- Times are UTC milliseconds, amounts whole units, positions `partition.offset.index.ordinal` of the source command.

CREATE TABLE IF NOT EXISTS accounts (
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

CREATE TABLE IF NOT EXISTS account_windows (
    account text NOT NULL,
    kind text NOT NULL,
    start_ms bigint NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (account, kind)
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS ledger (
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
