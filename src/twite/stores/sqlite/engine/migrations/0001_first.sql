-- The first schema. Times are whole milliseconds since the Unix epoch, UTC. Settled rows are never
-- written again and never indexed at random: a full store records and sends as fast as an empty one.

-- "twit": stores of development versions have no mark.
PRAGMA application_id = 0x74776974;

-- One row: this deployment.
CREATE TABLE deployment (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  salt BLOB NOT NULL,
  epoch INTEGER NOT NULL,             -- how often an owner opened the store
  clean INTEGER NOT NULL,             -- 1 when the last owner closed the store, 0 while it is open
  ahead INTEGER,                      -- how far X's clock is ahead of stored times; NULL: unknown
  turn INTEGER NOT NULL DEFAULT 0,    -- claims, settlements and erasures: the epoch file counts them, too
  marked INTEGER NOT NULL DEFAULT 0,  -- 1 once the epoch file exists
  commits INTEGER NOT NULL DEFAULT 0  -- how many commits there were: each one writes this row
);
INSERT INTO deployment (id, salt, epoch, clean) VALUES (1, randomblob(16), 0, 1);

-- Counts by source and pixel ("" if a rejected conversion named none). Pending, held and dead
-- deliveries are counted from the outbox, so that the balance is a check.
CREATE TABLE account (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  pixel TEXT NOT NULL,
  received INTEGER NOT NULL DEFAULT 0,
  delivered INTEGER NOT NULL DEFAULT 0,
  duplicate INTEGER NOT NULL DEFAULT 0,
  suppressed INTEGER NOT NULL DEFAULT 0,
  rejected INTEGER NOT NULL DEFAULT 0,
  since INTEGER NOT NULL DEFAULT 0, -- when its first conversion arrived
  UNIQUE (source, pixel)
);

-- A pixel and one of its events: one request to X contains conversions of one of them.
CREATE TABLE queue (
  id INTEGER PRIMARY KEY,
  pixel TEXT NOT NULL,
  event TEXT NOT NULL,
  UNIQUE (pixel, event)
);

-- A request as it arrived, without persons. Its conversions have the ids from `first` on. The body may
-- be compressed: twite.stores.sql.stored_bodies. Append-only.
CREATE TABLE submission (
  id INTEGER PRIMARY KEY,
  receipt TEXT NOT NULL UNIQUE, -- UUIDv7: its index grows at the end
  source TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  first INTEGER NOT NULL,
  entries INTEGER NOT NULL,
  body BLOB NOT NULL,
  refusals BLOB, -- JSON: the rejected conversions, if any
  unfired BLOB   -- JSON, if any: [[tag, reason, [place from `first` on, …]], …]
);

-- A conversion; its delivery has the same id. Append-only. `suppressed` is why it is not sent, `cause`
-- the same as a value of twite.domain.cause; the checksum is that of twite.stores.sql.database.
CREATE TABLE conversion (
  id INTEGER PRIMARY KEY,
  submission INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  conversion_id TEXT NOT NULL,
  body BLOB NOT NULL,
  checksum INTEGER, -- NULL if the body was pruned or lost
  suppressed TEXT,
  cause TEXT
);

-- The delivery that holds a dedup key: the only table that is written at random. It is written in the
-- order of the keys, many at a time, from `recent_key`.
CREATE TABLE dedup (
  key BLOB PRIMARY KEY,
  delivery INTEGER NOT NULL
) WITHOUT ROWID;

-- The log of keys, in the order in which they were taken. The writer also has them in memory.
CREATE TABLE fresh_key (
  delivery INTEGER PRIMARY KEY,
  key BLOB NOT NULL
);

-- Keys between the log and `dedup`; a key here is newer than the same key there: see
-- twite.stores.sqlite.engine.dedup_keys.
CREATE TABLE recent_key (
  key BLOB PRIMARY KEY,
  delivery INTEGER NOT NULL
) WITHOUT ROWID;

-- For each 256th of the keys, which of them `dedup` cannot contain: see
-- twite.stores.sqlite.engine.key_filters. A missing part is built when keys move to it.
CREATE TABLE key_filter (
  part INTEGER PRIMARY KEY,
  room INTEGER NOT NULL,    -- how many keys may be added before the bitmap is rebuilt
  bitmap BLOB NOT NULL,     -- a single byte 0xFF: any key may be there
  checksum INTEGER NOT NULL
);

-- One row: how far keys have been moved from the log into the tables.
CREATE TABLE merge_round (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  bucket INTEGER NOT NULL, -- the next 256th of the key space
  began INTEGER NOT NULL,  -- the first delivery that this walk may miss
  low INTEGER NOT NULL,    -- from here
  high INTEGER NOT NULL,   -- to here, the log is in the table
  walk INTEGER NOT NULL DEFAULT 0 -- how many walks have begun
);
INSERT INTO merge_round (id, bucket, began, low, high) VALUES (1, 0, 0, 0, 0);

-- Suppressed and replaced conversions by key.
CREATE TABLE suppression (
  key BLOB NOT NULL,
  delivery INTEGER NOT NULL,
  PRIMARY KEY (key, delivery)
) WITHOUT ROWID;
CREATE INDEX suppression_by_delivery ON suppression (delivery);

-- How often duplicates of a conversion arrived.
CREATE TABLE repeated (
  delivery INTEGER PRIMARY KEY,
  times INTEGER NOT NULL
);

-- The unsettled deliveries. Delivered and suppressed ones have no row.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  account INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sending', 'held', 'dead')),
  due_at INTEGER,          -- queued: not before; NULL is ready
  attempts INTEGER NOT NULL DEFAULT 0,
  ambiguous_since INTEGER, -- X may have it since then
  lease INTEGER,           -- sending: whose
  replayed_at INTEGER,     -- patience counts from here
  rested_at INTEGER,       -- held or dead since
  reason TEXT,             -- why it is held or dead
  crashes INTEGER NOT NULL DEFAULT 0, -- how often the sender failed with it
  cause TEXT,              -- as `reason`: a value of twite.domain.cause
  rank INTEGER             -- its deadline less 48 h: twite.domain.delivery.rank
    AS (CASE WHEN ambiguous_since - 28800000 < received_at THEN ambiguous_since - 28800000
        ELSE received_at END) VIRTUAL
);
CREATE INDEX ready ON outbox (queue, rank) WHERE state = 'queued' AND due_at IS NULL;
CREATE INDEX waiting ON outbox (due_at) WHERE state = 'queued' AND due_at IS NOT NULL;
CREATE INDEX aging ON outbox (received_at) WHERE state = 'queued' AND due_at IS NOT NULL;
CREATE INDEX ambiguous ON outbox (ambiguous_since)
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL;
CREATE INDEX resting ON outbox (rested_at) WHERE state IN ('held', 'dead');
CREATE INDEX rested_for ON outbox (state, queue, reason, rested_at, ambiguous_since)
  WHERE state IN ('held', 'dead');
-- For lists: they are in the order of receipt.
CREATE INDEX resting_by_id ON outbox (id) WHERE state IN ('held', 'dead');

-- Claimed deliveries. `id` is the fencing token; `deliveries` is a JSON array of ids; `open` is how
-- many of them are not settled yet.
CREATE TABLE lease (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  claimed_at INTEGER NOT NULL,
  until INTEGER NOT NULL,
  open INTEGER NOT NULL,
  deliveries TEXT NOT NULL,
  unmarked INTEGER NOT NULL DEFAULT 0 -- 1: in the outbox, its deliveries are 'queued'
);

-- Requests to X. Append-only.
CREATE TABLE attempt (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  status INTEGER,
  answer TEXT NOT NULL, -- at most 2,048 characters of X's response
  ambiguous INTEGER NOT NULL,
  size INTEGER NOT NULL
);
CREATE INDEX attempt_at ON attempt (at);

-- The deliveries of attempts.
CREATE TABLE attempted (
  delivery INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  PRIMARY KEY (delivery, attempt)
) WITHOUT ROWID;

-- Dead or held deliveries that a user discarded.
CREATE TABLE discarded (
  delivery INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  note TEXT NOT NULL,
  ambiguous_since INTEGER,
  cause TEXT
);

-- Copies of a conversion that lost their dedup key to a later copy of the same pixel, event and
-- conversion id. `suppression` lists them by key.
CREATE TABLE replaced (
  delivery INTEGER PRIMARY KEY,
  by INTEGER NOT NULL
);
CREATE INDEX replaced_by ON replaced (by);

-- Deliveries to which a later copy denied consent while they were in flight: they are not retried.
CREATE TABLE denied (
  delivery INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  reason TEXT NOT NULL,
  cause TEXT
);

-- Pauses of pixels (the event is '') and of events.
CREATE TABLE pause (
  pixel TEXT NOT NULL,
  event TEXT NOT NULL,
  since INTEGER NOT NULL,
  cause TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (pixel, event)
) WITHOUT ROWID;

-- Pixels whose rate limit is used up.
CREATE TABLE closure (
  pixel TEXT PRIMARY KEY,
  until INTEGER NOT NULL,
  reason TEXT NOT NULL
) WITHOUT ROWID;

-- Open alerts, and the latest resolved ones.
CREATE TABLE alert (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,     -- a pixel, a source, or the store
  reason TEXT NOT NULL,
  opened_at INTEGER NOT NULL,
  reported_at INTEGER NOT NULL,
  unsent_phase TEXT,           -- the phase that the webhook has not taken yet
  resolved_at INTEGER        -- NULL while it is open
) WITHOUT ROWID;

-- Alerts that a user has acknowledged.
CREATE TABLE acknowledgement (
  alert TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  who TEXT NOT NULL
) WITHOUT ROWID;

-- Subjects about which nothing is reported until a time: twite.gateway.ports.state.Mute.
CREATE TABLE mute (
  subject TEXT PRIMARY KEY,
  until INTEGER NOT NULL,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  note TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- The hours in which conversions arrived from a source: its usual silence is derived from them.
CREATE TABLE traffic (
  source TEXT NOT NULL,
  hour INTEGER NOT NULL,     -- whole hours since 1970
  count INTEGER NOT NULL,
  first_at INTEGER NOT NULL, -- the first and the last check that found more conversions
  last_at INTEGER NOT NULL,
  received INTEGER NOT NULL, -- since the beginning
  PRIMARY KEY (source, hour)
) WITHOUT ROWID;

-- The latest deliveries of each webhook: twite.domain.webhook_delivery.
CREATE TABLE webhook_delivery (
  id TEXT PRIMARY KEY,
  webhook TEXT NOT NULL,
  at INTEGER NOT NULL,
  message TEXT NOT NULL,
  verdict TEXT NOT NULL,
  reason TEXT NOT NULL,
  receipt TEXT NOT NULL,
  times INTEGER NOT NULL
) WITHOUT ROWID;

-- One row: how far pruning has come.
CREATE TABLE pruning (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  bodies INTEGER NOT NULL,   -- the last submission whose bodies were deleted
  histories INTEGER NOT NULL,    -- the last submission that was deleted
  key BLOB NOT NULL,         -- the last dedup key that was examined
  rested_at INTEGER NOT NULL -- when the last walk through the keys ended
);
INSERT INTO pruning (id, bodies, histories, key, rested_at) VALUES (1, 0, 0, x'', 0);

-- Deliveries that pruning found unsettled: it examines them again.
CREATE TABLE straggler (
  delivery INTEGER PRIMARY KEY
);

-- Idempotency keys: a different request with the same key is refused.
CREATE TABLE idempotency_key (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE, -- a digest of the source and its key
  request BLOB NOT NULL,       -- a digest of the request
  at INTEGER NOT NULL
);

-- Events that are not conversions: twite.domain.submission.IgnoredTally.
CREATE TABLE ignored (
  day INTEGER NOT NULL, -- whole days since 1970
  source TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  name TEXT NOT NULL,
  reason TEXT NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (day, source, endpoint, name, reason)
) WITHOUT ROWID;

-- The latest rejected conversions of each account: twite.domain.submission.Rejection. `nth` counts
-- those of the account; `details` is JSON, masked.
CREATE TABLE rejection (
  id INTEGER PRIMARY KEY, -- the account, and the place in its ring buffer
  at INTEGER NOT NULL,
  nth INTEGER NOT NULL,
  account INTEGER NOT NULL,
  details BLOB NOT NULL
);
CREATE INDEX rejection_at ON rejection (at, account, nth);

-- Sealed secrets: twite.gateway.ports.secret_store. The key is not in the store.
CREATE TABLE vault (
  name TEXT PRIMARY KEY,
  sealed BLOB NOT NULL
) WITHOUT ROWID;

-- How far each [[sync]] is, and the objects that it has sent. The state is JSON, without persons.
CREATE TABLE sync_state (
  name TEXT PRIMARY KEY,
  state TEXT NOT NULL
) WITHOUT ROWID;

-- When each key of a source was last used, to the minute.
CREATE TABLE source_key_use (
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  used_at INTEGER NOT NULL,
  PRIMARY KEY (source, id)
) WITHOUT ROWID;

-- X's results: each account, and its days. The state is JSON, without persons.
CREATE TABLE x_result (
  name TEXT PRIMARY KEY,
  state TEXT NOT NULL
) WITHOUT ROWID;

-- Replays that users started, and their deliveries in parts: twite.domain.replay_batch.
CREATE TABLE replay_batch (
  id TEXT PRIMARY KEY,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  pixel TEXT NOT NULL,          -- '' if there are several
  event TEXT NOT NULL,
  reason TEXT NOT NULL,
  edit TEXT NOT NULL,           -- JSON
  confirmed_at INTEGER,         -- that X may count some twice
  total INTEGER NOT NULL,
  parts INTEGER NOT NULL,
  done INTEGER NOT NULL,        -- how many parts
  moved INTEGER NOT NULL,
  ended_at INTEGER,
  cancelled_by TEXT NOT NULL,
  taken_back INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE replay_part (
  batch TEXT NOT NULL,
  place INTEGER NOT NULL,
  cause TEXT,
  reason TEXT NOT NULL,
  deliveries TEXT NOT NULL,     -- JSON
  refused TEXT NOT NULL,        -- JSON: [[delivery, why], ...]
  PRIMARY KEY (batch, place)
) WITHOUT ROWID;

-- Decisions about consent, if there was any signal: JSON without identifiers; strings of the IAB are
-- hashed. Append-only.
CREATE TABLE consent (
  delivery INTEGER PRIMARY KEY,
  evidence BLOB NOT NULL
);

-- Persons who revoked consent, as keyed hashes: twite.domain.consent.person_keys.
CREATE TABLE opt_out (
  key BLOB PRIMARY KEY,
  since INTEGER NOT NULL
) WITHOUT ROWID;

-- The version of its consent policy by which a source's deliveries were decided.
CREATE TABLE consent_policy (
  source TEXT PRIMARY KEY,
  version TEXT NOT NULL
) WITHOUT ROWID;

-- The ways on which conversion ids of pixels with pages arrived, for the deduplication report:
-- twite.domain.stats.deduplication. The marks are equal for the same order under two ids. Append-only;
-- the oldest rows are deleted.
CREATE TABLE dedup_report (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  path TEXT NOT NULL,
  conversion_id TEXT NOT NULL,
  email_mark INTEGER,
  phone_mark INTEGER,
  click_mark INTEGER
);
CREATE INDEX dedup_report_at ON dedup_report (at);
-- Reports to X's pixel by conversion id, for histories. Servers' reports are not in it, so they cost
-- nothing more.
CREATE INDEX dedup_report_pixel ON dedup_report (queue, conversion_id, at) WHERE path IN ('pixel', 'blocked');
CREATE INDEX dedup_report_blocked ON dedup_report (at) WHERE path = 'blocked';

-- Users of the console: twite.domain.people.users.
CREATE TABLE user (
  name TEXT PRIMARY KEY,
  role TEXT NOT NULL,
  pixels TEXT,             -- JSON; NULL for all
  password TEXT NOT NULL,  -- a hash with its salt and cost
  created_at INTEGER NOT NULL,
  password_at INTEGER NOT NULL,
  code_since INTEGER,      -- when two-factor codes were turned on; the secret is in the vault
  code_step INTEGER NOT NULL,
  recovery TEXT NOT NULL   -- JSON: hashes
) WITHOUT ROWID;

-- Sessions by a hash of the browser's token.
CREATE TABLE session (
  digest BLOB PRIMARY KEY,
  user TEXT NOT NULL,
  begun_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  address TEXT NOT NULL,
  agent TEXT NOT NULL
) WITHOUT ROWID;

-- Failed sign-ins, by a hash of a user name, an address, or both: twite.domain.people.sign_in_limits.
CREATE TABLE failed_sign_in (
  key BLOB PRIMARY KEY,
  times INTEGER NOT NULL,
  at INTEGER NOT NULL      -- of the last failure
) WITHOUT ROWID;
CREATE INDEX failed_sign_in_at ON failed_sign_in (at);

-- API keys by a hash.
CREATE TABLE api_key (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  digest BLOB NOT NULL UNIQUE,
  scopes TEXT NOT NULL,    -- JSON
  pixels TEXT,             -- JSON; NULL for all
  created_at INTEGER NOT NULL,
  made_by TEXT NOT NULL,
  revoked_at INTEGER
) WITHOUT ROWID;

-- The audit log. Append-only; `hash` covers the row and the hash of the row before.
CREATE TABLE audit_event (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash BLOB NOT NULL
);

-- Figures of the console, counted when they occur, so that no page reads settled conversions.

-- Traffic by minute, hour, quarter of a day, and day: twite.domain.stats.tally. `span` and `at` are
-- milliseconds.
CREATE TABLE flow (
  span INTEGER NOT NULL,
  at INTEGER NOT NULL,
  account INTEGER NOT NULL,
  received INTEGER NOT NULL,
  duplicate INTEGER NOT NULL,
  suppressed INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  dead INTEGER NOT NULL,
  PRIMARY KEY (span, at, account)
) WITHOUT ROWID;

-- Times from the receipt to X's acceptance, by slot.
CREATE TABLE waited (
  span INTEGER NOT NULL,
  at INTEGER NOT NULL,
  account INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  deliveries INTEGER NOT NULL,
  PRIMARY KEY (span, at, account, slot)
) WITHOUT ROWID;

-- Match keys of new conversions by day (whole days since 1970): each sum of
-- twite.domain.stats.match_keys.Matching.
CREATE TABLE matched (
  day INTEGER NOT NULL,
  account INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  conversions INTEGER NOT NULL,
  click INTEGER NOT NULL,
  email INTEGER NOT NULL,
  phone INTEGER NOT NULL,
  pair INTEGER NOT NULL,
  two INTEGER NOT NULL,
  one_short INTEGER NOT NULL,
  email_only INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (day, account, queue)
) WITHOUT ROWID;

-- Conversions with a flawed match key by day, with the shape and the delivery of the latest. `queue`
-- is 0 if the conversion named no known event, `delivery` is NULL if all were rejected.
CREATE TABLE flaw (
  day INTEGER NOT NULL,
  account INTEGER NOT NULL,
  queue INTEGER NOT NULL,
  code TEXT NOT NULL,
  times INTEGER NOT NULL, -- stored conversions
  wins INTEGER NOT NULL, -- conversions that would have a second match key without it
  shape TEXT NOT NULL,
  delivery INTEGER,
  rejected INTEGER NOT NULL DEFAULT 0, -- rejected conversions
  PRIMARY KEY (day, account, queue, code)
) WITHOUT ROWID;

-- Usual values of events: twite.domain.stats.value_guard. `first` is JSON.
CREATE TABLE norm (
  pixel TEXT NOT NULL,
  event TEXT NOT NULL,
  currency TEXT NOT NULL,
  seen INTEGER NOT NULL,
  zeros INTEGER NOT NULL,
  center REAL NOT NULL,
  spread REAL NOT NULL,
  first TEXT NOT NULL,
  PRIMARY KEY (pixel, event, currency)
) WITHOUT ROWID;

-- Conversions with unusual amounts. Append-only; a row is deleted with its conversion.
CREATE TABLE flagged (
  delivery INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  currency TEXT NOT NULL,
  usual TEXT NOT NULL,
  account INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX flagged_by_account ON flagged (account, delivery);

-- The flawed identifiers of conversions, as codes. Append-only; a row is deleted with its conversion.
CREATE TABLE flawed (
  delivery INTEGER NOT NULL,
  code TEXT NOT NULL,
  PRIMARY KEY (delivery, code)
) WITHOUT ROWID;

-- Edits of conversions before a replay. Append-only.
CREATE TABLE amended (
  delivery INTEGER NOT NULL,
  at INTEGER NOT NULL,
  queue INTEGER NOT NULL, -- before
  body BLOB NOT NULL,    -- before
  note TEXT NOT NULL,
  PRIMARY KEY (delivery, at)
) WITHOUT ROWID;

-- The conversion id that users search for, of deliveries of tags, whose own id also contains the
-- name of the event and the trigger. Append-only; a row is deleted with its conversion.
CREATE TABLE called (
  delivery INTEGER PRIMARY KEY,
  name TEXT NOT NULL
);
CREATE INDEX so_called ON called (name, delivery);

-- What value rules made of amounts; with a problem, the rule failed, and the amount is value_before.
-- Append-only; a row is deleted with its conversion.
CREATE TABLE value_change (
  delivery INTEGER PRIMARY KEY,
  rule TEXT NOT NULL,
  value_before TEXT,
  currency_before TEXT,
  value_after TEXT,
  currency TEXT,
  problem TEXT,
  detail TEXT NOT NULL
);
CREATE INDEX failed_rules ON value_change (delivery) WHERE problem IS NOT NULL;

-- What events say about visitors, for conversions that wait: twite.domain.joins. Keys are keyed hashes,
-- so no index contains an identifier.
CREATE TABLE known_identifier (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  mark TEXT NOT NULL,      -- of the kind, the value and `whose`
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  whose TEXT NOT NULL,
  at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  origin TEXT NOT NULL
);
CREATE UNIQUE INDEX known_of_key ON known_identifier (key, mark);
CREATE INDEX known_since ON known_identifier (kind, seen_at);

-- Conversions that waited: the keys of their visitor, joined by blanks, and what they gained (JSON,
-- without the identifiers). A row is deleted with its conversion.
CREATE TABLE joined (
  delivery INTEGER PRIMARY KEY,
  keys TEXT NOT NULL,
  whose TEXT NOT NULL,
  since INTEGER NOT NULL,  -- emails and phones count from here
  joined_at INTEGER,       -- NULL: it still waits
  kinds TEXT NOT NULL DEFAULT '',
  gained TEXT NOT NULL DEFAULT '[]'
);
