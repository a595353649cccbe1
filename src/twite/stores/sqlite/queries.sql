-- Every statement that the store runs, each with a name and a sentence. `VALUES (?, …)` is repeated
-- for as many rows as there are.

-- name: opening
-- Who this deployment is, and whether the last owner closed the store.
SELECT salt, epoch, clean FROM deployment;

-- name: opened
-- An owner begins: a new epoch, and not clean until it closes.
UPDATE deployment SET epoch = epoch + 1, clean = 0;

-- name: closed
-- The owner ends in order.
UPDATE deployment SET clean = 1;

-- name: last_ids
-- The highest ids in use; the one writer counts on from here.
SELECT
  (SELECT coalesce(max(id), 0) FROM submission),
  max((SELECT coalesce(max(id), 0) FROM conversion),
      (SELECT coalesce(max(first + entries - 1), 0) FROM submission
       WHERE id = (SELECT max(id) FROM submission))),
  (SELECT coalesce(max(id), 0) FROM attempt);

-- name: lanes
-- All lanes, for the writer's memory.
SELECT id, pixel, event FROM lane;

-- name: account_names
-- All accounts, for the writer's memory.
SELECT id, source, pixel FROM account;

-- name: add_lane
-- A pixel and event seen for the first time.
INSERT INTO lane (id, pixel, event) VALUES (?, ?, ?);

-- name: add_account
-- A source and pixel seen for the first time.
INSERT INTO account (id, source, pixel) VALUES (?, ?, ?);

-- name: add_submissions
-- Requests as they came.
INSERT INTO submission (id, receipt, source, door, received_at, first, entries, body, refusals)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: fresh_keys
-- The log of keys, for the writer's memory.
SELECT key, delivery FROM fresh_key ORDER BY delivery;

-- name: log_keys
-- Keys are taken. `keys` holds 16 bytes for each of the deliveries.
INSERT INTO fresh_key (delivery, key)
SELECT value, substr(:keys, key * 16 + 1, 16) FROM json_each(:deliveries);

-- name: holders
-- Of these keys, those in the table: pairs of (ours, theirs) as JSON.
SELECT json_group_array(json_array(entry.value, dedup.delivery))
FROM json_each(:deliveries) AS entry
CROSS JOIN dedup ON dedup.key = substr(:keys, entry.key * 16 + 1, 16);

-- name: holdings
-- When those who hold keys took them, and whether they are still to be sent: triples as JSON.
SELECT json_group_array(json_array(
  conversion.id, submission.received_at,
  EXISTS (
    SELECT 1 FROM outbox WHERE outbox.id = conversion.id AND outbox.state IN ('queued', 'sending'))))
FROM conversion JOIN submission ON submission.id = conversion.submission
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: merge_keys
-- Keys go from the log's memory into the table, in order.
INSERT INTO dedup (key, delivery)
SELECT substr(:keys, key * 16 + 1, 16), value FROM json_each(:deliveries) WHERE true
ON CONFLICT (key) DO UPDATE SET delivery = excluded.delivery;

-- name: merge_round
-- How far the walk through the key space has come.
SELECT bucket, began, low, high FROM merge_round;

-- name: note_merge_round
-- A step of the walk is done.
UPDATE merge_round SET bucket = :bucket, began = :began, low = :low, high = :high;

-- name: forget_log
-- The table has them.
DELETE FROM fresh_key WHERE delivery < :before;

-- name: add_conversions
-- Conversions in canonical form.
INSERT INTO conversion (id, submission, lane, conversion_id, body, suppressed)
VALUES (?, ?, ?, ?, ?, ?);

-- name: add_deliveries
-- Deliveries, ready to be sent.
INSERT INTO outbox (id, lane, account, received_at, state)
VALUES (?, ?, ?, ?, 'queued');

-- name: add_suppressions
-- Where suppressed conversions are found.
INSERT INTO suppression (key, delivery) VALUES (?, ?);

-- name: count_repeats
-- The same came again, once for each time a delivery is listed.
INSERT INTO repeated (delivery, times)
SELECT value, count(*) FROM json_each(:deliveries) WHERE true GROUP BY value
ON CONFLICT (delivery) DO UPDATE SET times = times + excluded.times;

-- name: count_received
-- Add to what an account has received.
UPDATE account
SET received = received + :received, duplicate = duplicate + :duplicate,
    suppressed = suppressed + :suppressed, rejected = rejected + :rejected
WHERE id = :account;

-- name: promote
-- Postponed deliveries whose time has come are ready.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox INDEXED BY waiting
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at <= :now
  ORDER BY due_at LIMIT :limit);

-- name: lane_to_claim
-- The lane of a pixel whose oldest ready delivery is the oldest of all.
SELECT lane.id, lane.event
FROM lane JOIN outbox ON outbox.id = (
  SELECT oldest.id FROM outbox AS oldest INDEXED BY ready
  WHERE oldest.lane = lane.id AND oldest.state = 'queued' AND oldest.due_at IS NULL
    AND (oldest.ambiguous_since IS NULL OR oldest.ambiguous_since >= :ambiguous_after)
  ORDER BY oldest.received_at, oldest.id LIMIT 1)
WHERE lane.pixel = :pixel
ORDER BY outbox.received_at, outbox.id LIMIT 1;

-- name: claimable
-- The ready deliveries of a lane, oldest first, as one row: one crossing from SQLite to Python
-- instead of one a delivery.
SELECT
  json_group_array(id),
  json_group_array(json_array(id, conversion_id, size, received_at, attempts, ambiguous_since)),
  CAST(group_concat(body, '') AS BLOB)
FROM (
  SELECT
    outbox.id, conversion.conversion_id, length(conversion.body) AS size, outbox.received_at,
    outbox.attempts, outbox.ambiguous_since, conversion.body
  FROM outbox INDEXED BY ready CROSS JOIN conversion ON conversion.id = outbox.id
  WHERE outbox.lane = :lane AND outbox.state = 'queued' AND outbox.due_at IS NULL
    AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
  ORDER BY outbox.received_at, outbox.id
  LIMIT :limit);

-- name: mark_sending
-- Deliveries go under a lease.
UPDATE outbox SET state = 'sending', lease = :lease
WHERE id IN (SELECT value FROM json_each(:deliveries));

-- name: add_lease
-- The claim itself.
INSERT INTO lease (id, lane, claimed_at, until, open, deliveries)
VALUES (:lease, :lane, :claimed_at, :until, :open, :deliveries);

-- name: extend_lease
-- Some of a lease is settled, the rest stays until later.
UPDATE lease SET open = open - :settled, until = :until WHERE id = :lease;

-- name: end_lease
-- Nothing is left under the lease.
DELETE FROM lease WHERE id = :lease AND open <= 0;

-- name: add_attempt
-- One request to X.
INSERT INTO attempt (id, at, lane, outcome, status, answer, ambiguous, size)
VALUES (:attempt, :at, :lane, :outcome, :status, :answer, :ambiguous, :size);

-- name: add_attempted
-- What the request held.
INSERT OR IGNORE INTO attempted (delivery, attempt)
SELECT value, :attempt FROM json_each(:deliveries);

-- name: count_delivered
-- Add deliveries under a lease to what their accounts have delivered.
UPDATE account SET delivered = delivered + settled.deliveries
FROM (
  SELECT account, count(*) AS deliveries FROM outbox
  WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending'
  GROUP BY account) AS settled
WHERE settled.account = account.id;

-- name: remove_delivered
-- X has them.
DELETE FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: mark_attempted
-- Deliveries that an attempt held and that stay: one more try, and perhaps ambiguous from now on.
UPDATE outbox
SET attempts = attempts + 1,
    ambiguous_since = CASE WHEN :ambiguous THEN coalesce(ambiguous_since, :at) ELSE ambiguous_since END
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: postpone
-- Back into the queue; ready when due_at is NULL.
UPDATE outbox SET state = 'queued', lease = NULL, due_at = :due_at
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: rest
-- Held or dead, with the reason; since the attempt, or else since the claim.
UPDATE outbox
SET state = :state, lease = NULL, reason = :reason,
    rested_at = coalesce(:at, (SELECT claimed_at FROM lease WHERE lease.id = :lease))
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: lapsed_leases
-- Leases past their end.
SELECT id, lane, claimed_at, deliveries FROM lease WHERE until < :now ORDER BY id;

-- name: still_under
-- The deliveries of a lease that are still under it, as JSON.
SELECT json_group_array(id), count(*) FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: drop_lease
-- A lease is over.
DELETE FROM lease WHERE id = :lease;

-- name: hold_ambiguous
-- Sending again could count twice.
UPDATE outbox SET state = 'held', due_at = NULL, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox INDEXED BY ambiguous
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL AND ambiguous_since < :before
  LIMIT :limit);

-- name: hold_ready
-- Ready deliveries of one lane that have waited beyond patience.
UPDATE outbox SET state = 'held', reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox INDEXED BY ready
  WHERE lane = :lane AND state = 'queued' AND due_at IS NULL AND received_at < :before
    AND (replayed_at IS NULL OR replayed_at < :before)
  LIMIT :limit);

-- name: hold_waiting
-- Postponed deliveries that have waited beyond patience.
UPDATE outbox SET state = 'held', due_at = NULL, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox INDEXED BY aging
  WHERE state = 'queued' AND due_at IS NOT NULL AND received_at < :before
    AND (replayed_at IS NULL OR replayed_at < :before)
  LIMIT :limit);

-- name: next_due
-- When the next postponed delivery is due.
SELECT min(due_at) FROM outbox INDEXED BY waiting WHERE state = 'queued' AND due_at IS NOT NULL;

-- name: add_pause
-- A pixel is not sent to.
INSERT INTO pause (pixel, since, reason) VALUES (:pixel, :since, :reason)
ON CONFLICT (pixel) DO UPDATE SET since = excluded.since, reason = excluded.reason;

-- name: remove_pause
-- A pixel is sent to again.
DELETE FROM pause WHERE pixel = :pixel;

-- name: pauses
-- The pauses in force.
SELECT pixel, since, reason FROM pause ORDER BY pixel;

-- name: spent
-- Conversions of each attempt since a moment.
SELECT lane.pixel, attempt.at, attempt.size
FROM attempt INDEXED BY attempt_at JOIN lane ON lane.id = attempt.lane
WHERE attempt.at >= :since ORDER BY attempt.at, attempt.id;

-- name: replay
-- A person has decided: send them again.
UPDATE outbox
SET state = 'queued', due_at = NULL, ambiguous_since = NULL, replayed_at = :now, rested_at = NULL,
    reason = NULL
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead');

-- name: count_discarded
-- Add resting deliveries to what their accounts have suppressed.
UPDATE account SET suppressed = suppressed + given_up.deliveries
FROM (
  SELECT account, count(*) AS deliveries FROM outbox
  WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead')
  GROUP BY account) AS given_up
WHERE given_up.account = account.id;

-- name: note_discarded
-- Why they were given up.
INSERT INTO discarded (delivery, at, note)
SELECT id, :now, :note FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead');

-- name: remove_discarded
-- They leave the outbox.
DELETE FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead');

-- name: deliveries_of_keys
-- The delivery that each key stands for: the latest taken, else the latest suppressed.
SELECT entry.key, coalesce(fresh.delivery, dedup.delivery, (
  SELECT max(delivery) FROM suppression WHERE suppression.key = substr(:keys, entry.key * 16 + 1, 16)))
FROM json_each(:places) AS entry
LEFT JOIN (
  -- One walk through the log for all.
  SELECT fresh_key.key, max(fresh_key.delivery) AS delivery FROM fresh_key
  WHERE fresh_key.key IN (SELECT substr(:keys, key * 16 + 1, 16) FROM json_each(:places))
  GROUP BY fresh_key.key) AS fresh
  ON fresh.key = substr(:keys, entry.key * 16 + 1, 16)
LEFT JOIN dedup ON dedup.key = substr(:keys, entry.key * 16 + 1, 16)
ORDER BY entry.key;

-- name: deliveries_of_receipt
-- The ids that a submission brought; duplicates among them have no conversion.
SELECT conversion.id FROM submission
JOIN conversion ON conversion.id >= submission.first
  AND conversion.id < submission.first + submission.entries
WHERE submission.receipt = :receipt ORDER BY conversion.id LIMIT :limit;

-- name: resting_deliveries
-- Dead and held deliveries, the latest first.
SELECT outbox.id FROM outbox INDEXED BY resting JOIN lane ON lane.id = outbox.lane
WHERE outbox.state IN ('held', 'dead') AND (:pixel IS NULL OR lane.pixel = :pixel)
ORDER BY outbox.rested_at DESC, outbox.id DESC LIMIT :limit;

-- name: lives
-- Conversions with all that is known of their deliveries.
SELECT
  conversion.id, lane.pixel, lane.event, conversion.conversion_id,
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  submission.source, submission.receipt, submission.received_at, conversion.body,
  coalesce(repeated.times, 0),
  coalesce(outbox.reason, discarded.note, conversion.suppressed),
  outbox.due_at
FROM conversion
JOIN lane ON lane.id = conversion.lane
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN repeated ON repeated.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: attempts_of
-- The attempts of these deliveries, in the order they were written.
SELECT attempted.delivery, attempt.at, attempt.outcome, attempt.status, attempt.answer,
  attempt.ambiguous
FROM attempted JOIN attempt ON attempt.id = attempted.attempt
WHERE attempted.delivery IN (SELECT value FROM json_each(:deliveries))
ORDER BY attempted.delivery, attempt.id;

-- name: accounts
-- The accounts: what was counted, beside what is in the outbox.
SELECT
  account.source, account.pixel, received, delivered, duplicate, suppressed, rejected,
  coalesce(live.dead, 0), coalesce(live.held, 0), coalesce(live.pending, 0)
FROM account LEFT JOIN (
  SELECT account,
    count(CASE WHEN state = 'dead' THEN 1 END) AS dead,
    count(CASE WHEN state = 'held' THEN 1 END) AS held,
    count(CASE WHEN state IN ('queued', 'sending') THEN 1 END) AS pending
  FROM outbox GROUP BY account) AS live ON live.account = account.id
ORDER BY account.source, account.pixel;
