-- What the page, the pixel and the tag managers bring.

-- Ignored events, which are not conversions: twite.domain.submission.IgnoredTally.
CREATE TABLE ignored (
  day INTEGER NOT NULL, -- whole days since 1970
  source TEXT NOT NULL,
  door TEXT NOT NULL,
  name TEXT NOT NULL,
  reason TEXT NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (day, source, door, name, reason)
) WITHOUT ROWID;

-- Secrets that came in, sealed: twite.gateway.ports.secret_store. The key is not here.
CREATE TABLE vault (
  name TEXT PRIMARY KEY,
  sealed BLOB NOT NULL
) WITHOUT ROWID;

-- What is kept of a decision about consent, where anything was said or needed: JSON, without
-- identifiers; strings of the IAB as hashes. Append-only.
CREATE TABLE consent (
  delivery INTEGER PRIMARY KEY,
  evidence BLOB NOT NULL
);

-- Who revoked consent, as a keyed hash of pixel and identifier: twite.domain.consent.person_keys.
CREATE TABLE opt_out (
  key BLOB PRIMARY KEY,
  since INTEGER NOT NULL
) WITHOUT ROWID;

-- By which version of its policy a source's deliveries were decided.
CREATE TABLE consent_policy (
  source TEXT PRIMARY KEY,
  version TEXT NOT NULL
) WITHOUT ROWID;

-- Which conversion ids were seen on which way, for pixels that pages report to. Append-only, and cut
-- off at its old end: twite.domain.stats.sightings. The marks are equal for the same order under two ids.
CREATE TABLE sighting (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  way TEXT NOT NULL,
  conversion_id TEXT NOT NULL,
  email_mark INTEGER,
  phone_mark INTEGER,
  click_mark INTEGER
);
CREATE INDEX sighting_at ON sighting (at);
