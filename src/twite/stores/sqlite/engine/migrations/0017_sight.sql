-- How many conversions would have a second match key without what spoils one.
ALTER TABLE flaw ADD COLUMN wins INTEGER NOT NULL DEFAULT 0;
