-- The topic `keys` as a table.

CREATE TABLE IF NOT EXISTS data_keys (
    account text NOT NULL,
    key_id text NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (account, key_id)
);
