-- Failed sign-ins, by a hash of a user name, an address, or both: twite.domain.people.sign_in_limits.
CREATE TABLE failed_sign_in (
  key BLOB PRIMARY KEY,
  times INTEGER NOT NULL,
  at INTEGER NOT NULL      -- of the last failure
) WITHOUT ROWID;
CREATE INDEX failed_sign_in_at ON failed_sign_in (at);
