-- Pictures: uploads and results.
-- Times are UTC milliseconds, amounts whole units, positions `partition.offset.index.ordinal` of the source command.

CREATE TABLE IF NOT EXISTS assets (
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
