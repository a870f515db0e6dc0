-- The generations of each read model: which one is read, which one was read before, which one is being built.
-- The tables of a generation stand in the schema `<model>_<generation>` (`<model>_<generation>_previous` once another
-- one has taken its place); the migrations in the folder of the model's name make them.
-- A number is never used again; `switched` numbers the switches, so that the last one can be taken back whole.
CREATE TABLE generations (
    model text NOT NULL,
    generation bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('live', 'previous', 'building')),
    switched bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (model, generation)
);

CREATE UNIQUE INDEX generations_one_of_a_state ON generations (model, state);

CREATE SEQUENCE generation_numbers START 2;

CREATE SEQUENCE generation_switches;

-- Before there were generations, the tables stood here.
CREATE SCHEMA jobs_1;
CREATE SCHEMA balances_1;
CREATE SCHEMA assets_1;
CREATE SCHEMA partitions_1;
CREATE SCHEMA keys_1;
ALTER TABLE IF EXISTS jobs SET SCHEMA jobs_1;
ALTER TABLE IF EXISTS job_events SET SCHEMA jobs_1;
ALTER TABLE IF EXISTS accounts SET SCHEMA balances_1;
ALTER TABLE IF EXISTS account_windows SET SCHEMA balances_1;
ALTER TABLE IF EXISTS ledger SET SCHEMA balances_1;
ALTER TABLE IF EXISTS assets SET SCHEMA assets_1;
ALTER TABLE IF EXISTS partitions SET SCHEMA partitions_1;
ALTER TABLE IF EXISTS data_keys SET SCHEMA keys_1;
INSERT INTO generations (model, generation, state)
VALUES ('jobs', 1, 'live'), ('balances', 1, 'live'), ('assets', 1, 'live'), ('partitions', 1, 'live'),
    ('keys', 1, 'live');
