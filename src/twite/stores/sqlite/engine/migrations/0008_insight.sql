-- What the console shows: counted while it happens, so that no page ever walks through what is settled.

-- What came and went, by minute and by hour: twite.domain.stats.tally. `span` and `at` are milliseconds.
CREATE TABLE flow (
  span INTEGER NOT NULL,
  at INTEGER NOT NULL,
  account INTEGER NOT NULL,
  received INTEGER NOT NULL,
  duplicate INTEGER NOT NULL,
  suppressed INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  buried INTEGER NOT NULL,
  PRIMARY KEY (span, at, account)
) WITHOUT ROWID;

-- How long deliveries took from our receipt until X had them, by slot.
CREATE TABLE waited (
  span INTEGER NOT NULL,
  at INTEGER NOT NULL,
  account INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  deliveries INTEGER NOT NULL,
  PRIMARY KEY (span, at, account, slot)
) WITHOUT ROWID;

-- Which identifiers conversions carried, by day (whole days since 1970): twite.domain.stats.match_keys.
CREATE TABLE kit (
  day INTEGER NOT NULL,
  account INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  kit INTEGER NOT NULL,
  conversions INTEGER NOT NULL,
  PRIMARY KEY (day, account, lane, kit)
) WITHOUT ROWID;

-- What spoilt match keys, with the shape and the delivery of the latest. `lane` is 0 where the
-- conversion named no event that is known, `delivery` NULL where it was refused.
CREATE TABLE flaw (
  day INTEGER NOT NULL,
  account INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  code TEXT NOT NULL,
  times INTEGER NOT NULL,
  shape TEXT NOT NULL,
  delivery INTEGER,
  PRIMARY KEY (day, account, lane, code)
) WITHOUT ROWID;

-- What events are usually worth: twite.domain.stats.value_guard. `first` is JSON.
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

-- Conversions whose amounts are remarkable. Append-only; the oldest go with what they are of.
CREATE TABLE flagged (
  delivery INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  currency TEXT NOT NULL,
  usual TEXT NOT NULL
);

-- What a person has changed in a conversion before it was sent again. Append-only.
CREATE TABLE amended (
  delivery INTEGER NOT NULL,
  at INTEGER NOT NULL,
  lane INTEGER NOT NULL, -- before
  body BLOB NOT NULL,    -- before
  note TEXT NOT NULL,
  PRIMARY KEY (delivery, at)
) WITHOUT ROWID;

-- What rests, by what it rests for.
CREATE INDEX rested_for ON outbox (state, lane, reason, rested_at, ambiguous_since)
  WHERE state IN ('held', 'dead');
