-- What became of assets, videos, and albums. `gone` is the word of why access has ended; the row stays, so that the
-- owner is told. Rows that were written before this file have the version 0 until `darkroom rebuild --model assets`.
ALTER TABLE assets ADD COLUMN version bigint NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN duration_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN thumbnail text;
ALTER TABLE assets ADD COLUMN expires_ms bigint;
ALTER TABLE assets ADD COLUMN gone text;
ALTER TABLE assets ADD COLUMN gone_ms bigint;
ALTER TABLE assets ADD COLUMN public boolean NOT NULL DEFAULT false;
ALTER TABLE assets ADD COLUMN views bigint NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN changed_ms bigint;
ALTER TABLE assets SET (fillfactor = 90);

CREATE UNIQUE INDEX assets_in_order ON assets (account, number);
CREATE INDEX assets_uploaded ON assets (account, number) WHERE gone IS NULL AND job IS NULL;
CREATE INDEX assets_made ON assets (account, number) WHERE gone IS NULL AND job IS NOT NULL;

CREATE TABLE albums (
    account text NOT NULL,
    album text NOT NULL,
    version bigint,
    created_ms bigint,
    sealed text,
    gone_ms bigint,
    position text NOT NULL,
    PRIMARY KEY (account, album)
);

CREATE TABLE album_assets (
    account text NOT NULL,
    album text NOT NULL,
    asset text NOT NULL,
    present boolean NOT NULL,
    since_ms bigint NOT NULL,
    PRIMARY KEY (account, album, asset)
);

CREATE INDEX albums_of_assets ON album_assets (account, asset) WHERE present;
