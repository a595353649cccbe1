-- Who works with the gateway: twite.domain.people.users.

CREATE TABLE user (
  name TEXT PRIMARY KEY,
  role TEXT NOT NULL,
  pixels TEXT,             -- JSON; NULL for all
  password TEXT NOT NULL,  -- a hash with its salt and cost
  created_at INTEGER NOT NULL,
  password_at INTEGER NOT NULL,
  code_since INTEGER,      -- since when a code is asked for; its secret is in the vault
  code_step INTEGER NOT NULL,
  recovery TEXT NOT NULL   -- JSON: hashes
) WITHOUT ROWID;

-- Who is signed in, by a hash of the token that the browser has.
CREATE TABLE session (
  digest BLOB PRIMARY KEY,
  user TEXT NOT NULL,
  begun_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  address TEXT NOT NULL,
  agent TEXT NOT NULL
) WITHOUT ROWID;

-- Keys of programs, by a hash.
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

-- What was done. Append-only; `hash` is over this entry and the hash of the one before.
CREATE TABLE deed (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash BLOB NOT NULL
);
