-- What a partition's own stream says: its version and the newest plan in force there.

CREATE TABLE IF NOT EXISTS partitions (
    partition integer PRIMARY KEY,
    version bigint NOT NULL,
    plan_version bigint,
    plan json
);
