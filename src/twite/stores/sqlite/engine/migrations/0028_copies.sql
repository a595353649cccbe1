-- Copies of one conversion: the same pixel, event and conversion id, in more than one delivery.

-- Whose dedup key went to a later copy. `suppression` lists them by key, beside what was suppressed.
CREATE TABLE replaced (
  delivery INTEGER PRIMARY KEY,
  by INTEGER NOT NULL
);
CREATE INDEX replaced_by ON replaced (by);

-- Deliveries that a later copy denied consent to while they were in flight: they are not tried again.
CREATE TABLE denied (
  delivery INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  reason TEXT NOT NULL
);
