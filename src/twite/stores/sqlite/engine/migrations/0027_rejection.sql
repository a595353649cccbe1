-- The latest rejected conversions of each account: twite.domain.submission.Rejection. `nth`
-- counts an account's; `told` is JSON, masked.
CREATE TABLE rejection (
  id INTEGER PRIMARY KEY, -- the account, and the place in its ring
  at INTEGER NOT NULL,
  nth INTEGER NOT NULL,
  account INTEGER NOT NULL,
  told BLOB NOT NULL
);
CREATE INDEX rejection_at ON rejection (at, account, nth);
