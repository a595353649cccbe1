-- What the guarantees need beside the first schema.

-- How far the sender is known to fail with it: twite.domain.delivery.crashed.
ALTER TABLE outbox ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
-- Its deadline less 48 h: twite.domain.delivery.rank.
ALTER TABLE outbox ADD COLUMN rank INTEGER
  AS (CASE WHEN ambiguous_since - 28800000 < received_at THEN ambiguous_since - 28800000
      ELSE received_at END) VIRTUAL;
DROP INDEX ready;
CREATE INDEX ready ON outbox (lane, rank) WHERE state = 'queued' AND due_at IS NULL;

-- How far X's clock is ahead of the moments on record, in milliseconds; NULL until X was heard.
ALTER TABLE deployment ADD COLUMN ahead INTEGER;

-- Pixels whose limit is spent until a moment.
CREATE TABLE closure (
  pixel TEXT PRIMARY KEY,
  until INTEGER NOT NULL,
  reason TEXT NOT NULL
) WITHOUT ROWID;

-- What alerts must remember: those that are open, and those that are over and not told yet.
CREATE TABLE alert (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,     -- a pixel, a source, or the store
  reason TEXT NOT NULL,
  opened_at INTEGER NOT NULL,
  said_at INTEGER NOT NULL,  -- when there was news of it last
  news TEXT,                 -- what the webhook has not taken yet
  resolved_at INTEGER        -- NULL while it is open
) WITHOUT ROWID;

-- The hours in which something came from a source: what its usual silence is learnt from.
CREATE TABLE traffic (
  source TEXT NOT NULL,
  hour INTEGER NOT NULL,     -- whole hours since 1970
  count INTEGER NOT NULL,
  first_at INTEGER NOT NULL, -- the first and the last look at which there was more
  last_at INTEGER NOT NULL,
  received INTEGER NOT NULL, -- since the beginning
  PRIMARY KEY (source, hour)
) WITHOUT ROWID;

-- The checksum of a conversion: twite.stores.sql.database.checksum. Conversions with ids up to
-- `unsummed` have none.
ALTER TABLE conversion ADD COLUMN checksum INTEGER;
ALTER TABLE deployment ADD COLUMN unsummed INTEGER NOT NULL DEFAULT 0;
UPDATE deployment SET unsummed = (SELECT coalesce(max(id), 0) FROM conversion);

-- How many claims and settlements there have been: the file beside the database counts them, too.
ALTER TABLE deployment ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployment ADD COLUMN marked INTEGER NOT NULL DEFAULT 0; -- 1 once that file was there

-- One row: how far pruning has come.
CREATE TABLE pruning (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  bodies INTEGER NOT NULL, -- the last submission whose bodies are gone
  lives INTEGER NOT NULL,  -- the last submission that is gone itself
  key BLOB NOT NULL,       -- the last dedup key that was looked at
  rested_at INTEGER NOT NULL -- when the last walk through the keys was over
);
INSERT INTO pruning (id, bodies, lives, key, rested_at) VALUES (1, 0, 0, x'', 0);

-- Deliveries that were not settled when their time came: they are looked at again.
CREATE TABLE straggler (
  delivery INTEGER PRIMARY KEY
);

-- What requests with an Idempotency-Key said: another request under the same key is refused.
CREATE TABLE request_name (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE, -- a digest of the source and its key
  said BLOB NOT NULL,       -- a digest of the request
  at INTEGER NOT NULL
);
