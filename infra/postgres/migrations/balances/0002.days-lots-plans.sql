-- Sums of days, lots, plans that accounts took, thresholds; and what each line of the ledger took from or gave back to.
-- `windows` and `lots` are JSON as in the events. Lines that were written before this file lack them, and days before it
-- have no sums, until `darkroom rebuild --model balances`.
ALTER TABLE accounts ADD COLUMN erased_ms bigint;
ALTER TABLE ledger ADD COLUMN since_ms bigint;
ALTER TABLE ledger ADD COLUMN lot text;
ALTER TABLE ledger ADD COLUMN windows text;
ALTER TABLE ledger ADD COLUMN lots text;

CREATE INDEX ledger_of_lots ON ledger (account, version) WHERE lots IS NOT NULL OR lot IS NOT NULL;
CREATE INDEX ledger_of_rare_kinds ON ledger (account, kind, version) WHERE kind NOT IN ('reserved', 'captured');

CREATE TABLE account_days (
    account text NOT NULL,
    day_ms bigint NOT NULL,
    granted bigint NOT NULL,
    regenerated bigint NOT NULL,
    refunded bigint NOT NULL,
    captured bigint NOT NULL,
    reserved bigint NOT NULL,
    expired bigint NOT NULL,
    jobs_submitted bigint NOT NULL,
    jobs_succeeded bigint NOT NULL,
    jobs_failed bigint NOT NULL,
    jobs_canceled bigint NOT NULL,
    jobs_expired bigint NOT NULL,
    PRIMARY KEY (account, day_ms)
) WITH (fillfactor = 70);

-- Grants with an expiry or a priority; `lot` is the position of the grant, `units_left` what is spendable of it.
CREATE TABLE lots (
    account text NOT NULL,
    lot text NOT NULL,
    version bigint,
    granted bigint,
    expires_ms bigint,
    priority integer,
    units_left bigint NOT NULL,
    closed boolean NOT NULL,
    PRIMARY KEY (account, lot)
) WITH (fillfactor = 70);

CREATE TABLE account_plans (
    account text NOT NULL,
    version bigint NOT NULL,
    plan text NOT NULL,
    plan_version bigint NOT NULL,
    time_ms bigint NOT NULL,
    position text NOT NULL,
    PRIMARY KEY (account, version)
);

CREATE TABLE thresholds (
    account text NOT NULL,
    version bigint NOT NULL,
    measure text NOT NULL,
    percent integer NOT NULL,
    used bigint NOT NULL,
    limit_units bigint NOT NULL,
    resets_ms bigint,
    time_ms bigint NOT NULL,
    position text NOT NULL,
    PRIMARY KEY (account, version)
);
