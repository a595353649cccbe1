-- A claim changes the state of each of its deliveries. While an index contained that column, each
-- change added an entry to the primary key. Now no index does, and a page of the outbox has room for
-- a second version of its rows. PostgreSQL then changes a row within its page (a HOT update).
ALTER TABLE outbox SET (fillfactor = 50);
ALTER TABLE outbox ADD resting text COLLATE "C"
  GENERATED ALWAYS AS (CASE WHEN state IN ('held', 'dead') THEN state END) STORED;

DROP INDEX ready, waiting, aging, ambiguous, resting, rested_for;
CREATE INDEX ready ON outbox (lane, rank, id) WHERE resting IS NULL AND due_at IS NULL;
CREATE INDEX waiting ON outbox (due_at) WHERE resting IS NULL AND due_at IS NOT NULL;
CREATE INDEX aging ON outbox (received_at) WHERE resting IS NULL AND due_at IS NOT NULL;
CREATE INDEX ambiguous ON outbox (ambiguous_since)
  WHERE resting IS NULL AND ambiguous_since IS NOT NULL;
CREATE INDEX resting ON outbox (rested_at, id) WHERE resting IS NOT NULL;
CREATE INDEX rested_for ON outbox (resting, lane, reason, id) WHERE resting IS NOT NULL;
