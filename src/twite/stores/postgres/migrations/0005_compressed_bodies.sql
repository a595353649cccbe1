-- Bodies of requests may be compressed (twite.stores.sql.stored_bodies). An older version of Twite
-- would not find the persons in them, so it must not open the store.
COMMENT ON COLUMN submission.body IS 'compressed with Zstandard if it begins with 28 B5 2F FD';
