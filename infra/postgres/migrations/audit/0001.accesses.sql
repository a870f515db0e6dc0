-- The topic `accesses` as a table: one row an access. `place` is the record's offset times 1024 and the number in it.
CREATE TABLE accesses (
    account text NOT NULL,
    batch text NOT NULL,
    n integer NOT NULL,
    place bigint NOT NULL,
    at_ms bigint NOT NULL,
    actor text,
    role text NOT NULL,
    action text NOT NULL,
    operation text NOT NULL,
    objects text NOT NULL,
    status integer NOT NULL,
    address text,
    trace text,
    times integer NOT NULL,
    PRIMARY KEY (account, batch, n)
);

CREATE INDEX accesses_in_order ON accesses (account, place);
