-- For each 256th of the dedup keys, which of them `dedup` cannot contain: see
-- twite.stores.sqlite.engine.key_filters. A missing part is built when keys move to it.
CREATE TABLE key_filter (
  part INTEGER PRIMARY KEY,
  room INTEGER NOT NULL,    -- how many keys may be added before the bitmap is rebuilt
  bitmap BLOB NOT NULL,     -- a single byte 0xFF: any key may be there
  checksum INTEGER NOT NULL
);
