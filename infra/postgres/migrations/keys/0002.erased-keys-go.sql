-- Few keys are ever erased, so the usual share of dead rows is never reached: without this they would stay on the disk.
ALTER TABLE data_keys SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0);
