-- Dedup keys between the log and `dedup`; a key here is newer than the same key there: see
-- twite.stores.sqlite.engine.dedup_keys.
CREATE TABLE recent_key (
  key BLOB PRIMARY KEY,
  delivery INTEGER NOT NULL
) WITHOUT ROWID;
-- How many walks have begun.
ALTER TABLE merge_round ADD COLUMN walk INTEGER NOT NULL DEFAULT 0;
