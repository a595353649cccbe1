-- The first schema. Times are whole milliseconds since the Unix epoch, UTC. What is settled is never
-- written again and never indexed at random: a full store takes in and sends as fast as an empty one.

-- One row: who this deployment is. `epoch` counts the openings by an owner.
CREATE TABLE deployment (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  salt BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  clean INTEGER NOT NULL -- 1 when the last owner closed the store, 0 while it is open
);
INSERT INTO deployment (id, salt, epoch, clean) VALUES (1, randomblob(16), 0, 1);

-- What has been counted, by source and pixel ("" where a refused conversion named none). What is
-- pending, held and dead is not here: it is counted from the outbox, so that the balance is a check.
CREATE TABLE account (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  pixel TEXT NOT NULL,
  received INTEGER NOT NULL DEFAULT 0,
  delivered INTEGER NOT NULL DEFAULT 0,
  duplicate INTEGER NOT NULL DEFAULT 0,
  suppressed INTEGER NOT NULL DEFAULT 0,
  rejected INTEGER NOT NULL DEFAULT 0,
  UNIQUE (source, pixel)
);

-- A pixel and one of its events: what one request to X may hold.
CREATE TABLE lane (
  id INTEGER PRIMARY KEY,
  pixel TEXT NOT NULL,
  event TEXT NOT NULL,
  UNIQUE (pixel, event)
);

-- One request as it came, persons scrubbed. Its conversions have the ids from `first` on. Append-only.
CREATE TABLE submission (
  id INTEGER PRIMARY KEY,
  receipt TEXT NOT NULL UNIQUE, -- UUIDv7: its index grows at the end
  source TEXT NOT NULL,
  door TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  first INTEGER NOT NULL,
  entries INTEGER NOT NULL,
  body BLOB NOT NULL,
  refusals BLOB -- JSON, where there were any
);

-- One conversion; its id is also its delivery's. Append-only. `suppressed` is why it is not sent.
CREATE TABLE conversion (
  id INTEGER PRIMARY KEY,
  submission INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  conversion_id TEXT NOT NULL,
  body BLOB NOT NULL,
  suppressed TEXT
);

-- Which delivery holds a dedup key: the one table that is written at random. It is written in the
-- order of the keys, many at a time, from the log below.
CREATE TABLE dedup (
  key BLOB PRIMARY KEY,
  delivery INTEGER NOT NULL
) WITHOUT ROWID;

-- The latest keys, in the order they were taken. The writer has them in memory too.
CREATE TABLE fresh_key (
  delivery INTEGER PRIMARY KEY,
  key BLOB NOT NULL
);

-- One row: how far keys have been moved from the log into the table.
CREATE TABLE merge_round (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  bucket INTEGER NOT NULL, -- the next 256th of the key space
  began INTEGER NOT NULL,  -- the first delivery that this walk may miss
  low INTEGER NOT NULL,    -- from here
  high INTEGER NOT NULL    -- to here, the log is in the table
);
INSERT INTO merge_round (id, bucket, began, low, high) VALUES (1, 0, 0, 0, 0);

-- Where suppressed conversions are found; they block nobody.
CREATE TABLE suppression (
  key BLOB NOT NULL,
  delivery INTEGER NOT NULL,
  PRIMARY KEY (key, delivery)
) WITHOUT ROWID;

-- How often the same conversion came again.
CREATE TABLE repeated (
  delivery INTEGER PRIMARY KEY,
  times INTEGER NOT NULL
);

-- The deliveries that are not settled. A delivered or suppressed one has no row here.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY,
  lane INTEGER NOT NULL,
  account INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'held', 'dead')),
  due_at INTEGER,          -- queued: not before; NULL is ready
  attempts INTEGER NOT NULL DEFAULT 0,
  ambiguous_since INTEGER, -- X may have it since then
  lease INTEGER,           -- sending: whose
  replayed_at INTEGER,     -- patience counts from here
  rested_at INTEGER,       -- held or dead since
  reason TEXT              -- why it is held or dead
);
CREATE INDEX ready ON outbox (lane, received_at) WHERE state = 'queued' AND due_at IS NULL;
CREATE INDEX waiting ON outbox (due_at) WHERE state = 'queued' AND due_at IS NOT NULL;
CREATE INDEX aging ON outbox (received_at) WHERE state = 'queued' AND due_at IS NOT NULL;
CREATE INDEX ambiguous ON outbox (ambiguous_since)
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL;
CREATE INDEX resting ON outbox (rested_at) WHERE state IN ('held', 'dead');

-- What senders hold. `id` is the fencing token; `deliveries` a JSON array of ids; `open` how many of
-- them are not settled yet.
CREATE TABLE lease (
  id INTEGER PRIMARY KEY,
  lane INTEGER NOT NULL,
  claimed_at INTEGER NOT NULL,
  until INTEGER NOT NULL,
  open INTEGER NOT NULL,
  deliveries TEXT NOT NULL
);

-- Requests to X. Append-only.
CREATE TABLE attempt (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  status INTEGER,
  answer TEXT NOT NULL, -- at most 2,048 characters of X's own words
  ambiguous INTEGER NOT NULL,
  size INTEGER NOT NULL
);
CREATE INDEX attempt_at ON attempt (at);

-- Which deliveries an attempt held.
CREATE TABLE attempted (
  delivery INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  PRIMARY KEY (delivery, attempt)
) WITHOUT ROWID;

-- Dead or held deliveries that a person gave up.
CREATE TABLE discarded (
  delivery INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  note TEXT NOT NULL
);

-- Pixels that are not sent to.
CREATE TABLE pause (
  pixel TEXT PRIMARY KEY,
  since INTEGER NOT NULL,
  reason TEXT NOT NULL
) WITHOUT ROWID;
