-- Every plan that came into force in a partition: charges name the one they were made under.
-- Plans that came before this file are missing until `darkroom rebuild --model partitions`.
CREATE TABLE plans (
    partition integer NOT NULL,
    plan_version bigint NOT NULL,
    plan json NOT NULL,
    published_ms bigint NOT NULL,
    position text NOT NULL,
    PRIMARY KEY (partition, plan_version)
);
