-- When the job was taken out of its account's histories; null: it never was. Counts and sums go on counting it.
-- No row lacks it: before this file nothing could be hidden. Only a job that has ended is hidden, so the column may stand
-- in indexes: last, as what spares reading rows that a filter leaves out.
ALTER TABLE jobs ADD COLUMN hidden_ms bigint;
DROP INDEX jobs_in_order;
DROP INDEX jobs_by_outcome;
CREATE INDEX jobs_in_order ON jobs (account, version, model, lane, hidden_ms);
CREATE INDEX jobs_by_outcome ON jobs (account, outcome, version, ended_ms, hidden_ms) WHERE outcome IS NOT NULL;
CREATE INDEX jobs_hidden ON jobs (account, version, model, outcome) WHERE hidden_ms IS NOT NULL;
