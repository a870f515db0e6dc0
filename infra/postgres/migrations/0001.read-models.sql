-- What stands outside of the read models: how far each of them is.

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
