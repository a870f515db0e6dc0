-- Jobs of large groups, whose sealed parts stand in the object store: the sweeper asks for them, and for no others.
CREATE INDEX jobs_sealed_elsewhere ON jobs (account) WHERE sealed_at IS NOT NULL;
