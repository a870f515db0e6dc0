-- Public assets are read by their id alone, by people who do not know the account.
CREATE INDEX assets_public ON assets (asset) WHERE public AND gone IS NULL;
