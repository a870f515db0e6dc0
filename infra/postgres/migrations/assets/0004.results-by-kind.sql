-- Results by kind: what a page by offset passes over has to be in the index. Videos are few, and have an index of theirs.
DROP INDEX assets_made;
CREATE INDEX assets_made ON assets (account, number, duration_ms) WHERE gone IS NULL AND job IS NOT NULL;
CREATE INDEX assets_videos ON assets (account, number) WHERE gone IS NULL AND job IS NOT NULL AND duration_ms > 0;
