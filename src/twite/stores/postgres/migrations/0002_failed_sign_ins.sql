-- Failed sign-ins, by a hash of a user name, an address, or both: twite.domain.people.sign_in_limits.
CREATE TABLE failed_sign_in (
  key bytea PRIMARY KEY,
  times bigint NOT NULL,
  at bigint NOT NULL
);
CREATE INDEX failed_sign_in_at ON failed_sign_in (at);
