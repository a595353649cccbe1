-- The statements of the stores, each with a name and a sentence. `VALUES (?, …)` is repeated for each
-- row.

-- name: read_deployment
-- The identity of this deployment, whether the last owner closed the store, its number of turns,
-- and whether an epoch file next to the database counts the turns.
SELECT salt, epoch, clean, turn, marked FROM deployment;

-- name: progress
-- The state of a database, and the page that contains it.
SELECT salt, turn, commits, (SELECT rootpage FROM sqlite_schema WHERE name = 'deployment')
FROM deployment;

-- name: opened
-- A new owner: a new epoch, and not clean until it closes the store.
UPDATE deployment SET epoch = :epoch, turn = :turn, clean = 0, marked = 1;

-- name: hold_pending
-- Hold pending deliveries, because it is unknown which of them were sent.
UPDATE outbox
SET state = 'held', lease = NULL, due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE state IN ('queued', 'sending');

-- name: drop_leases
-- Delete all leases.
DELETE FROM lease;

-- name: closed
-- The owner closes the store cleanly.
UPDATE deployment SET clean = 1;

-- name: last_ids
-- The highest ids in use, from which the writer continues.
SELECT
  (SELECT coalesce(max(id), 0) FROM submission),
  max((SELECT coalesce(max(id), 0) FROM conversion),
      (SELECT coalesce(max(first + entries - 1), 0) FROM submission
       WHERE id = (SELECT max(id) FROM submission))),
  (SELECT coalesce(max(id), 0) FROM attempt);

-- name: read_turn
-- The number of claims and settlements.
SELECT turn FROM deployment;

-- name: note_turn
-- Count a commit. It is always written, because SQLite does not write unchanged pages.
UPDATE deployment SET turn = :turn, commits = commits + 1;

-- name: events_of
-- All events that a pixel or tag ever had.
SELECT event FROM queue WHERE pixel = :pixel;

-- name: queues
-- All queues (pixel and event), for the writer's memory.
SELECT id, pixel, event FROM queue;

-- name: account_names
-- All accounts, for the writer's memory.
SELECT id, source, pixel FROM account;

-- name: add_queue
-- Add a pixel and event.
INSERT INTO queue (id, pixel, event) VALUES (?, ?, ?);

-- name: add_account
-- Add a source and pixel.
INSERT INTO account (id, source, pixel, since) VALUES (?, ?, ?, ?);

-- name: fresh_keys
-- A part of the log of dedup keys, for the writer's memory: the keys joined, and the deliveries.
SELECT CAST(group_concat(key, '') AS BLOB), json_group_array(delivery)
FROM (
  SELECT key, delivery FROM fresh_key
  -- A damaged key of another length would shift those after it.
  WHERE delivery > :after AND length(CAST(key AS BLOB)) = 16
  ORDER BY delivery LIMIT :limit);

-- name: log_keys
-- Append dedup keys to the log. `keys` has 16 bytes for each of the deliveries.
INSERT INTO fresh_key (delivery, key)
SELECT value, substr(:keys, key * 16 + 1, 16) FROM json_each(:deliveries);

-- name: holders
-- Those of the given keys that are in the tables: pairs of (requester, holder) as JSON.
SELECT json_group_array(json_array(entry.value, coalesce(recent_key.delivery, dedup.delivery)))
FROM json_each(:deliveries) AS entry
LEFT JOIN recent_key ON recent_key.key = substr(:keys, entry.key * 16 + 1, 16)
LEFT JOIN dedup ON dedup.key = substr(:keys, entry.key * 16 + 1, 16)
WHERE coalesce(recent_key.delivery, dedup.delivery) IS NOT NULL;

-- name: holdings
-- For holders of keys, as JSON: the time of receipt, and the state in the outbox.
SELECT json_group_array(json_array(conversion.id, submission.received_at, outbox.state))
FROM conversion JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: holder
-- For one holder of a key: its body, its consent decision, why it is held, whether it is not sent,
-- its time of receipt, its state in the outbox, and whether X may have it.
SELECT CAST(conversion.body AS BLOB) AS body, consent.evidence, outbox.cause, outbox.reason,
  conversion.suppressed IS NOT NULL OR discarded.delivery IS NOT NULL AS is_suppressed,
  submission.received_at, outbox.state, outbox.ambiguous_since IS NOT NULL AS is_ambiguous
FROM conversion JOIN submission ON submission.id = conversion.submission
LEFT JOIN consent ON consent.delivery = conversion.id
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id = :delivery;

-- name: add_replaced
-- Record that a later copy has the key of a delivery.
INSERT OR REPLACE INTO replaced (delivery, by) VALUES (:delivery, :by);

-- name: show_replaced
-- List the delivery under its former key.
INSERT OR IGNORE INTO suppression (key, delivery) VALUES (:key, :delivery);

-- name: deny
-- Record that a delivery in flight must not be retried.
INSERT OR IGNORE INTO denied (delivery, at, reason, cause)
SELECT id, :now, :reason, :cause FROM outbox WHERE id = :delivery AND state = 'sending';

-- name: denied
-- Deliveries that were denied in flight and are not settled.
SELECT denied.delivery FROM denied JOIN outbox ON outbox.id = denied.delivery;

-- name: denied_at_rest
-- Those of the given deliveries that are no longer in flight: when and why they were denied.
SELECT denied.delivery, denied.at, denied.reason, denied.cause
FROM denied JOIN outbox ON outbox.id = denied.delivery
WHERE denied.delivery IN (SELECT value FROM json_each(:deliveries)) AND outbox.state <> 'sending';

-- name: merge_keys
-- Move keys from the log to the table of recent keys, in order.
INSERT INTO recent_key (key, delivery)
SELECT substr(:keys, key * 16 + 1, 16), value FROM json_each(:deliveries) WHERE true
ON CONFLICT (key) DO UPDATE SET delivery = excluded.delivery;

-- name: settle_keys
-- Copy the recent keys of a part to the table of all keys, in order.
INSERT INTO dedup (key, delivery)
SELECT key, delivery FROM recent_key WHERE key BETWEEN :first AND :last
ON CONFLICT (key) DO UPDATE SET delivery = excluded.delivery;

-- name: forget_settled_keys
-- Delete the recent keys of a part after that.
DELETE FROM recent_key WHERE key BETWEEN :first AND :last;

-- name: forget_recent_keys
-- Delete the recent keys of pruned conversions.
DELETE FROM recent_key
WHERE key BETWEEN :first AND :last AND delivery < :before
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = recent_key.delivery);

-- name: key_filters
-- The bitmaps of the dedup keys in the tables, for the writer's memory.
SELECT part, room, coalesce(CAST(bitmap AS BLOB), x''), checksum FROM key_filter
WHERE part BETWEEN 0 AND 255;

-- name: put_key_filter
-- Write the bitmap of a 256th of the dedup keys.
INSERT INTO key_filter (part, room, bitmap, checksum) VALUES (:part, :room, :bitmap, :checksum)
ON CONFLICT (part) DO UPDATE
SET room = excluded.room, bitmap = excluded.bitmap, checksum = excluded.checksum;

-- name: keys_of_part
-- The dedup keys of a part of the tables, joined, for its bitmap.
SELECT CAST(group_concat(key, '') AS BLOB) FROM (
  SELECT key FROM recent_key
  WHERE key BETWEEN :first AND :last AND length(CAST(key AS BLOB)) = 16
  UNION ALL
  SELECT key FROM dedup
  WHERE key BETWEEN :first AND :last AND length(CAST(key AS BLOB)) = 16 LIMIT :limit);

-- name: merge_round
-- The progress of the walk through the key space.
SELECT bucket, began, low, high, walk FROM merge_round;

-- name: note_merge_round
-- Record a step of the walk.
UPDATE merge_round
SET bucket = :bucket, began = :began, low = :low, high = :high, walk = :walk;

-- name: forget_log
-- Delete keys from the log that the table contains.
DELETE FROM fresh_key WHERE delivery < :before;

-- name: count_repeats
-- Count duplicates, once for each time that a delivery is listed.
INSERT INTO repeated (delivery, times)
SELECT value, count(*) FROM json_each(:deliveries) WHERE true GROUP BY value
ON CONFLICT (delivery) DO UPDATE SET times = times + excluded.times;

-- name: count_accounts
-- Add to the counts of accounts.
UPDATE account
SET received = received + added.column2, delivered = delivered + added.column3,
    duplicate = duplicate + added.column4, suppressed = suppressed + added.column5,
    rejected = rejected + added.column6
FROM (VALUES (?, ?, ?, ?, ?, ?)) AS added WHERE account.id = added.column1;

-- name: put_sealed
-- Store a sealed secret, replacing one of the same name.
INSERT INTO vault (name, sealed) VALUES (:name, :sealed)
ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed;

-- name: reseal
-- Store the same secret under another key, unless it was replaced or deleted meanwhile.
UPDATE vault SET sealed = :sealed WHERE name = :name AND sealed = :was;

-- name: forget_sealed
-- Delete a secret.
DELETE FROM vault WHERE name = :name;

-- name: sealed
-- The sealed secrets in a range of names.
SELECT name, sealed FROM vault WHERE name >= :first AND name < :beyond ORDER BY name;

-- name: put_sync_state
-- Store how far a [[sync]] is.
INSERT INTO sync_state (name, state) VALUES (:name, :state)
ON CONFLICT (name) DO UPDATE SET state = excluded.state;

-- name: pause_syncs
-- Pause all syncs, because it is unknown which rows were sent since the copy was made.
INSERT INTO sync_state (name, state) VALUES ('!', :now)
ON CONFLICT (name) DO UPDATE SET state = excluded.state;

-- name: forget_sync_state
-- Delete the state of one name.
DELETE FROM sync_state WHERE name = :name;

-- name: empty_refused_rows
-- Erase the refused rows that the last run of a sync shows, or a page of its waiting results.
UPDATE sync_state
SET state = json_replace(state, '$.last_run.refused', json('[]'), '$.waiting', json('[]'))
WHERE name = :of;

-- name: sync_states
-- The states in a range of names.
SELECT name, state FROM sync_state WHERE name >= :first AND name < :beyond ORDER BY name;

-- name: put_key_use
-- Store when a key of a source was last used.
INSERT INTO source_key_use (source, id, used_at) VALUES (:source, :id, :used_at)
ON CONFLICT (source, id) DO UPDATE SET
  used_at = CASE WHEN source_key_use.used_at > excluded.used_at THEN source_key_use.used_at
    ELSE excluded.used_at END;

-- name: key_uses
-- The uses of keys in a range of sources.
SELECT source, id, used_at FROM source_key_use
WHERE source >= :first AND source < :beyond ORDER BY source, id;

-- name: put_x_result
-- Store X's results of an account, or of one of its days.
INSERT INTO x_result (name, state) VALUES (:name, :state)
ON CONFLICT (name) DO UPDATE SET state = excluded.state;

-- name: forget_x_result
-- Delete the results of one name.
DELETE FROM x_result WHERE name = :name;

-- name: x_results
-- The results in a range of names.
SELECT name, state FROM x_result WHERE name >= :first AND name < :beyond ORDER BY name;

-- name: put_replay_batch
-- Store a replay, or its progress. What has ended, or was cancelled, stays so.
INSERT INTO replay_batch (id, at, who, pixel, event, reason, edit, confirmed_at, total, parts, done,
  moved, ended_at, cancelled_by, taken_back)
VALUES (:id, :at, :who, :pixel, :event, :reason, :edit, :confirmed_at, :total, :parts, :done,
  :moved, :ended_at, :cancelled_by, :taken_back)
ON CONFLICT (id) DO UPDATE SET
  done = CASE WHEN replay_batch.done > excluded.done THEN replay_batch.done ELSE excluded.done END,
  moved = CASE WHEN replay_batch.moved > excluded.moved THEN replay_batch.moved
    ELSE excluded.moved END,
  ended_at = coalesce(replay_batch.ended_at, excluded.ended_at),
  cancelled_by = CASE WHEN replay_batch.cancelled_by <> '' THEN replay_batch.cancelled_by
    ELSE excluded.cancelled_by END,
  taken_back = CASE WHEN replay_batch.taken_back > excluded.taken_back THEN replay_batch.taken_back
    ELSE excluded.taken_back END;

-- name: forget_replay_parts
-- Delete the parts of old replays.
DELETE FROM replay_part WHERE batch IN (SELECT id FROM replay_batch WHERE at < :before);

-- name: forget_unstarted_parts
-- Delete the parts of replays that were not started, up to an id.
DELETE FROM replay_part
WHERE batch < :beyond AND batch NOT IN (SELECT id FROM replay_batch);

-- name: forget_replay_batches
-- Delete old replays.
DELETE FROM replay_batch WHERE at < :before;

-- name: replay_batches
-- The replays in a range of ids.
SELECT id, at, who, pixel, event, reason, edit, confirmed_at, total, parts, done, moved, ended_at,
  cancelled_by, taken_back
FROM replay_batch WHERE id >= :first AND id < :beyond ORDER BY id;

-- name: put_replay_part
-- Store a part of a replay, or why some of its deliveries were not changed.
INSERT INTO replay_part (batch, place, cause, reason, deliveries, refused)
VALUES (:batch, :place, :cause, :reason, :deliveries, :refused)
ON CONFLICT (batch, place) DO UPDATE SET refused = excluded.refused;

-- name: replay_parts
-- The parts of replays in a range of ids.
SELECT batch, place, cause, reason, deliveries, refused FROM replay_part
WHERE batch >= :first AND batch < :beyond ORDER BY batch, place;

-- name: states_of
-- The number of conversions by state, of the given ones.
SELECT
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.shown_state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END AS state, count(*) AS deliveries
FROM conversion
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries))
GROUP BY 1;

-- name: count_ignored
-- Count ignored items, under :other if a day has too many names.
INSERT INTO ignored (day, source, endpoint, name, reason, times)
VALUES (:day, :source, :endpoint, CASE
  WHEN EXISTS (
    SELECT 1 FROM ignored WHERE day = :day AND source = :source AND endpoint = :endpoint
      AND name = :called AND reason = :reason)
    OR (SELECT count(*) FROM ignored WHERE day = :day AND source = :source) < :most
  THEN :called ELSE :other END, :reason, :times)
ON CONFLICT (day, source, endpoint, name, reason) DO UPDATE SET times = times + excluded.times;

-- name: forget_ignored
-- Delete the counts of ignored items from before a given day.
DELETE FROM ignored WHERE day < :before;

-- name: ignored
-- The counts of ignored items since a day.
SELECT day, source, endpoint, name, reason, times FROM ignored WHERE day >= :since
ORDER BY day, source, endpoint, name, reason;

-- name: ignored_names
-- The names of ignored items.
SELECT DISTINCT name FROM ignored;

-- name: forget_all_ignored
-- Delete all counts, so that erased names are overwritten: the rows were in the order of their
-- names.
DELETE FROM ignored;

-- name: put_ignored
-- Add a count of ignored items to the row of the same name.
INSERT INTO ignored (day, source, endpoint, name, reason, times)
VALUES (:day, :source, :endpoint, :called, :reason, :times)
ON CONFLICT (day, source, endpoint, name, reason) DO UPDATE SET times = times + excluded.times;

-- name: request_of_key
-- The digest of the request with an idempotency key, unless it has expired.
SELECT request FROM idempotency_key WHERE key = :key AND at >= :before;

-- name: store_idempotency_key
-- Store an idempotency key.
INSERT INTO idempotency_key (key, request, at) VALUES (:key, :request, :at)
ON CONFLICT (key) DO UPDATE SET request = excluded.request, at = excluded.at;

-- name: forget_idempotency_keys
-- Delete the oldest idempotency keys, a few at a time.
DELETE FROM idempotency_key WHERE id IN (
  SELECT id FROM idempotency_key WHERE id <= (SELECT min(id) + 8 FROM idempotency_key) AND at < :before);

-- name: promote
-- Make postponed deliveries ready when they are due.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox INDEXED BY waiting
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at <= :now
  ORDER BY due_at LIMIT :limit)
RETURNING id, attempts;

-- name: promote_far
-- Make deliveries ready whose due time is too far ahead, because another clock set it. Those that were
-- never tried may wait for identifiers, for up to 6 hours.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox INDEXED BY waiting
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at > :furthest
    AND (attempts > 0 OR due_at > :furthest + 21600000)
  LIMIT :limit)
RETURNING id, attempts;

-- name: queue_to_claim
-- The queue of a pixel whose first ready delivery has the earliest deadline. `places` has, by queue, the
-- rank and the id behind which the search begins.
SELECT queue.id, queue.event
FROM queue JOIN outbox ON outbox.id = coalesce(
  (SELECT same.id FROM outbox AS same INDEXED BY ready
   WHERE same.queue = queue.id AND same.state = 'queued' AND same.due_at IS NULL
     AND same.rank = json_extract(:places, '$."' || queue.id || '"[0]')
     AND same.id > json_extract(:places, '$."' || queue.id || '"[1]')
     AND (same.ambiguous_since IS NULL OR same.ambiguous_since >= :ambiguous_after)
     AND same.crashes < :crashes
     AND (:passing = '[]' OR same.id NOT IN (SELECT value FROM json_each(:passing)))
   ORDER BY same.id LIMIT 1),
  (SELECT later.id FROM outbox AS later INDEXED BY ready
   WHERE later.queue = queue.id AND later.state = 'queued' AND later.due_at IS NULL
     AND later.rank > coalesce(json_extract(:places, '$."' || queue.id || '"[0]'), -(1 << 62))
     AND (later.ambiguous_since IS NULL OR later.ambiguous_since >= :ambiguous_after)
     AND later.crashes < :crashes
     AND (:passing = '[]' OR later.id NOT IN (SELECT value FROM json_each(:passing)))
   ORDER BY later.rank, later.id LIMIT 1))
WHERE queue.pixel = :pixel
  AND queue.event NOT IN (SELECT value FROM json_each(:passing_events))
ORDER BY outbox.rank, outbox.id LIMIT 1;

-- name: claimable
-- The ready deliveries of a queue behind a place, earliest deadline first, as one row: their columns as
-- JSON, and the bodies, joined by commas. Python reads one row instead of one per delivery.
-- `everything` includes those that must be skipped. The last but one column has only the deliveries
-- that were tried before.
SELECT
  json_array(
    json_group_array(chosen.id), json_group_array(conversion_id), json_group_array(length(body)),
    json_group_array(received_at), json_group_array(checksum),
    json_group_array(json_array(chosen.id, attempts, ambiguous_since, crashes))
      FILTER (WHERE attempts OR crashes OR ambiguous_since IS NOT NULL),
    json_group_array(account)),
  CAST(group_concat(body, ',') AS BLOB)
FROM (
  SELECT id, rank FROM outbox INDEXED BY ready
  WHERE queue = :queue AND state = 'queued' AND due_at IS NULL AND rank = :rank AND id > :after
    AND (:everything OR (
      (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after) AND crashes < :crashes
      AND id NOT IN (SELECT value FROM json_each(:passing))))
  UNION ALL
  SELECT id, rank FROM outbox INDEXED BY ready
  WHERE queue = :queue AND state = 'queued' AND due_at IS NULL AND rank > :rank
    AND (:everything OR (
      (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after) AND crashes < :crashes
      AND id NOT IN (SELECT value FROM json_each(:passing))))
  ORDER BY rank, id
  LIMIT :limit) AS chosen
CROSS JOIN outbox ON outbox.id = chosen.id LEFT JOIN conversion ON conversion.id = chosen.id;

-- name: ready_sizes
-- The sizes of the ready deliveries of a queue in bytes, earliest deadline first, so that only those
-- that fit into a request are read.
SELECT json_group_array(size)
FROM (
  SELECT coalesce(length(conversion.body), 0) AS size
  FROM outbox INDEXED BY ready LEFT JOIN conversion ON conversion.id = outbox.id
  WHERE outbox.queue = :queue AND outbox.state = 'queued' AND outbox.due_at IS NULL
    AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
    AND outbox.crashes < :crashes
    AND outbox.id NOT IN (SELECT value FROM json_each(:passing))
  ORDER BY outbox.rank, outbox.id
  LIMIT :limit);

-- name: ready_ids
-- The ids of the ready deliveries of a queue, with or without a conversion.
SELECT id FROM outbox INDEXED BY ready
WHERE queue = :queue AND state = 'queued' AND due_at IS NULL
  AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
  AND crashes < :crashes
  AND id NOT IN (SELECT value FROM json_each(:passing))
ORDER BY rank, id
LIMIT :limit;

-- name: ready_one
-- One ready delivery, as stored.
SELECT
  CAST(conversion.conversion_id AS BLOB), CAST(conversion.body AS BLOB), outbox.received_at,
  outbox.attempts, outbox.ambiguous_since, outbox.crashes, conversion.checksum
FROM outbox JOIN conversion ON conversion.id = outbox.id WHERE outbox.id = :delivery;

-- name: mark_sending
-- Mark deliveries as being sent under a lease.
UPDATE outbox SET state = 'sending', lease = :lease
WHERE id IN (SELECT value FROM json_each(:deliveries));

-- name: add_lease
-- Add the lease of a claim.
INSERT INTO lease (id, queue, claimed_at, until, open, deliveries, unmarked)
VALUES (:lease, :queue, :claimed_at, :until, :open, :deliveries, :unmarked);

-- name: unmarked_leases
-- The leases whose deliveries do not have the state of deliveries being sent.
SELECT id, deliveries FROM lease WHERE unmarked;

-- name: find_damaged_lease
-- A lease whose list of deliveries is unreadable, or, if unmarked, lists others than ready ones.
SELECT lease.id FROM lease
WHERE NOT json_valid(lease.deliveries)
  OR (lease.unmarked AND lease.open <> (
    SELECT count(DISTINCT outbox.id)
    FROM json_each(CASE WHEN json_valid(lease.deliveries) THEN lease.deliveries ELSE '[]' END) AS claimed
    CROSS JOIN outbox ON outbox.id = claimed.value
    WHERE outbox.state = 'queued' AND outbox.due_at IS NULL))
LIMIT 1;

-- name: note_marked
-- Record that the deliveries of all leases have their state.
UPDATE lease SET unmarked = 0 WHERE unmarked;

-- name: remove_unmarked
-- Remove the delivered deliveries of an unmarked lease: all ready ones of a queue between two places.
-- SQLite deletes the entries of this index where it reads them, without a search for each.
DELETE FROM outbox INDEXED BY ready
WHERE queue = :queue AND state = 'queued' AND due_at IS NULL AND rank BETWEEN :earliest AND :latest
  AND id BETWEEN :lowest AND :highest
  AND NOT (rank = :earliest AND id < :first) AND NOT (rank = :latest AND id > :last);

-- name: extend_lease
-- Extend a lease after some of its deliveries were settled.
UPDATE lease SET open = open - :settled, until = :until WHERE id = :lease;

-- name: end_lease
-- End a lease without deliveries.
DELETE FROM lease WHERE id = :lease AND open <= 0;

-- name: add_attempt
-- Add a request to X.
INSERT INTO attempt (id, at, queue, outcome, status, answer, ambiguous, size)
VALUES (:attempt, :at, :queue, :outcome, :status, :answer, :ambiguous, :size);

-- name: add_attempted
-- Add the deliveries of a request.
INSERT OR IGNORE INTO attempted (delivery, attempt)
SELECT value, :attempt FROM json_each(:deliveries);

-- name: taken_of
-- The times of receipt of deliveries under a lease, as JSON by account.
SELECT account, json_group_array(received_at) FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending'
GROUP BY account;

-- name: leased_by
-- The number of deliveries under a lease, by account.
SELECT account, count(*) FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending'
GROUP BY account;

-- name: claimed_at
-- The time at which the deliveries of a lease were claimed; 0 if the lease has ended.
SELECT coalesce(max(claimed_at), 0) FROM lease WHERE id = :lease;

-- name: remove_delivered
-- Remove delivered deliveries from the outbox.
DELETE FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: mark_attempted
-- Count an attempt of deliveries that stay in the outbox, and mark them as ambiguous if necessary.
UPDATE outbox
SET attempts = attempts + 1,
    crashes = CASE WHEN :survived THEN 0 ELSE crashes END,
    ambiguous_since = CASE WHEN :ambiguous THEN coalesce(ambiguous_since, :at) ELSE ambiguous_since END
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: count_crashes
-- Count a sender crash with deliveries; 2 and 5 are SUSPECT and QUARANTINED of
-- twite.domain.delivery.
UPDATE outbox
SET crashes = CASE
    WHEN :alone THEN max(crashes, 2) + 1
    ELSE min(crashes + 1, max(crashes, 2)) END
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: quarantined
-- The deliveries of a lease with too many crashes of the sender, as JSON.
SELECT json_group_array(id), count(*) FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending'
  AND crashes >= :limit;

-- name: postpone
-- Requeue deliveries; they are ready if due_at is NULL.
UPDATE outbox SET state = 'queued', lease = NULL, due_at = :due_at
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: rest
-- Hold deliveries or make them dead letters, with the reason, at the time of the attempt or of the
-- claim.
UPDATE outbox
SET state = :state, lease = NULL, cause = :cause, reason = :reason,
    rested_at = coalesce(:at, (SELECT claimed_at FROM lease WHERE lease.id = :lease))
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: lapsed_leases
-- Expired leases, and leases that end later than allowed.
SELECT id, queue, claimed_at, deliveries FROM lease
WHERE until < :now OR until > :furthest ORDER BY id;

-- name: still_under
-- The deliveries that are still under a lease, as JSON.
SELECT json_group_array(id), count(*) FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: drop_lease
-- Delete a lease.
DELETE FROM lease WHERE id = :lease;

-- name: hold_ambiguous
-- Hold ambiguous deliveries that could count twice if they were sent again.
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox INDEXED BY ambiguous
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL AND ambiguous_since < :before
  LIMIT :limit);

-- name: hold_cautious
-- Hold ambiguous deliveries of cautious pixels.
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT outbox.id FROM outbox INDEXED BY ambiguous JOIN queue ON queue.id = outbox.queue
  WHERE outbox.state = 'queued' AND outbox.ambiguous_since IS NOT NULL
    AND queue.pixel IN (SELECT value FROM json_each(:pixels))
  LIMIT :limit);

-- name: hold_ready
-- Hold ready deliveries of one queue that waited too long.
UPDATE outbox SET state = 'held', cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox INDEXED BY ready
  WHERE queue = :queue AND state = 'queued' AND due_at IS NULL AND rank < :before
    AND received_at < :before AND (replayed_at IS NULL OR replayed_at < :before)
  LIMIT :limit);

-- name: hold_waiting
-- Hold postponed deliveries that waited too long.
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox INDEXED BY aging
  WHERE state = 'queued' AND due_at IS NOT NULL AND received_at < :before
    AND (replayed_at IS NULL OR replayed_at < :before)
  LIMIT :limit);

-- name: next_due
-- The time at which the next postponed delivery is due.
SELECT min(due_at) FROM outbox INDEXED BY waiting WHERE state = 'queued' AND due_at IS NOT NULL;

-- name: add_pause
-- Pause a pixel, or one of its events.
INSERT INTO pause (pixel, event, since, cause, reason)
VALUES (:pixel, :event, :since, :cause, :reason)
ON CONFLICT (pixel, event) DO UPDATE
SET since = excluded.since, cause = excluded.cause, reason = excluded.reason
WHERE pause.cause <> 'user' OR excluded.cause = 'user';

-- name: remove_pause
-- End the pause of a pixel, or of one of its events.
DELETE FROM pause WHERE pixel = :pixel AND event = :event;

-- name: remove_same_pause
-- End a pause, unless another pause has replaced it.
DELETE FROM pause
WHERE pixel = :pixel AND event = :event AND since = :since AND cause = :cause
  AND reason = :reason;

-- name: pauses
-- All pauses.
SELECT pixel, since, cause, reason, event FROM pause ORDER BY pixel, event;

-- name: add_closure
-- Store the end of a used-up rate limit window.
INSERT INTO closure (pixel, until, reason) VALUES (:pixel, :until, :reason)
ON CONFLICT (pixel) DO UPDATE SET until = excluded.until, reason = excluded.reason;

-- name: closures
-- The ends of used-up rate limit windows.
SELECT pixel, until, reason FROM closure ORDER BY pixel;

-- name: timed
-- The latest recorded time, the last written time, and the offset of X's clock from it.
SELECT
  max(coalesce((SELECT max(at) FROM attempt), 0),
      coalesce(
        (SELECT received_at FROM submission WHERE id = (SELECT max(id) FROM submission)), 0)),
  max(coalesce((SELECT at FROM attempt WHERE id = (SELECT max(id) FROM attempt)), 0),
      coalesce(
        (SELECT received_at FROM submission WHERE id = (SELECT max(id) FROM submission)), 0)),
  (SELECT ahead FROM deployment);

-- name: note_ahead
-- Store the offset of X's clock from the recorded times.
UPDATE deployment SET ahead = :ahead;

-- name: hold_in_doubt
-- Hold dead letters that may not be at fault.
UPDATE outbox SET state = 'held', cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state = 'dead';

-- name: recall
-- Requeue deliveries that were held for a cause, each once.
UPDATE outbox
SET state = 'queued', due_at = NULL, replayed_at = :now, rested_at = NULL, cause = NULL,
    reason = NULL
WHERE id IN (
  SELECT id FROM outbox INDEXED BY resting
  WHERE state IN ('held', 'dead') AND state = 'held' AND queue = :queue AND replayed_at IS NULL
    AND cause = :cause);

-- name: spent
-- The number of conversions of each attempt since a time.
SELECT queue.pixel, attempt.at, attempt.size
FROM attempt INDEXED BY attempt_at JOIN queue ON queue.id = attempt.queue
WHERE attempt.at >= :since ORDER BY attempt.at, attempt.id;

-- name: remarked
-- The submissions of those of the given deliveries that are held for these causes.
SELECT DISTINCT submission.first, submission.first + submission.entries
FROM outbox JOIN conversion ON conversion.id = outbox.id
JOIN submission ON submission.id = conversion.submission
WHERE outbox.id IN (SELECT value FROM json_each(:deliveries)) AND outbox.state = 'held'
  AND outbox.cause IN (SELECT value FROM json_each(:causes));

-- name: held_of_submission
-- The held deliveries of a submission.
SELECT outbox.id, queue.pixel, CAST(conversion.conversion_id AS TEXT), outbox.cause
FROM outbox JOIN conversion ON conversion.id = outbox.id JOIN queue ON queue.id = outbox.queue
WHERE outbox.id >= :first AND outbox.id < :end AND outbox.state = 'held';

-- name: replay
-- Requeue deliveries at a user's request. If the user is sure, they are no longer ambiguous. With too
-- many crashes of the sender (2 is SUSPECT), they are sent alone.
-- Without a recorded attempt, a delivery is ambiguous since its receipt.
UPDATE outbox
SET state = 'queued', due_at = NULL, replayed_at = :now, rested_at = NULL, cause = NULL,
    reason = NULL, crashes = min(crashes, 2),
    ambiguous_since = CASE
      WHEN id IN (SELECT value FROM json_each(:sure)) THEN NULL
      WHEN cause IN (SELECT value FROM json_each(:maybe_sent))
        THEN coalesce(ambiguous_since, received_at)
      ELSE ambiguous_since END
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead');

-- name: count_discarded
-- Add dead and held deliveries to the suppressed counts of their accounts.
UPDATE account SET suppressed = suppressed + given_up.deliveries
FROM (
  SELECT account, count(*) AS deliveries FROM outbox
  WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead')
  GROUP BY account) AS given_up
WHERE given_up.account = account.id;

-- name: note_discarded
-- Store the reason of discarded deliveries.
INSERT INTO discarded (delivery, at, note, ambiguous_since, cause)
SELECT id, :now, :note, ambiguous_since, :cause FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead');

-- name: remove_discarded
-- Remove discarded deliveries from the outbox.
DELETE FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead');

-- name: opt_outs
-- The opt-out list, for the writer's memory.
SELECT key FROM opt_out;

-- name: add_opt_out
-- Add a person to the opt-out list.
INSERT INTO opt_out (key, since) VALUES (:key, :now) ON CONFLICT (key) DO NOTHING;

-- name: remove_opt_out
-- Remove a person from the opt-out list.
DELETE FROM opt_out WHERE key = :key;

-- name: policies
-- The policy version under which the deliveries of each source were decided.
SELECT source, version FROM consent_policy ORDER BY source;

-- name: note_policy
-- Record that all deliveries of a source are decided by this version.
INSERT INTO consent_policy (source, version) VALUES (:source, :version)
ON CONFLICT (source) DO UPDATE SET version = excluded.version;

-- name: standing
-- The deliveries of a source that may still be sent.
SELECT outbox.id, account.pixel, consent.evidence
FROM outbox JOIN account ON account.id = outbox.account
LEFT JOIN consent ON consent.delivery = outbox.id
WHERE outbox.id > :after AND outbox.shown_state IN ('queued', 'held', 'dead')
  AND account.source = :source
ORDER BY outbox.id LIMIT :limit;

-- name: hold_queued
-- Hold queued deliveries for a user.
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state = 'queued';

-- name: count_withdrawn
-- Add deliveries that are not in flight to the suppressed counts of their accounts.
UPDATE account SET suppressed = suppressed + withdrawn.deliveries
FROM (
  SELECT account, count(*) AS deliveries FROM outbox
  WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('queued', 'held', 'dead')
  GROUP BY account) AS withdrawn
WHERE withdrawn.account = account.id;

-- name: note_withdrawn
-- Store why deliveries are not sent.
INSERT INTO discarded (delivery, at, note, ambiguous_since, cause)
SELECT id, :now, :note, ambiguous_since, :cause FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('queued', 'held', 'dead');

-- name: remove_withdrawn
-- Remove suppressed deliveries from the outbox.
DELETE FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('queued', 'held', 'dead');

-- name: deliveries_of_keys
-- The holder of each key: the latest delivery that claimed it.
SELECT entry.key, coalesce(fresh.delivery, recent_key.delivery, dedup.delivery)
FROM json_each(:places) AS entry
LEFT JOIN (
  -- One walk through the log for all.
  SELECT fresh_key.key, max(fresh_key.delivery) AS delivery FROM fresh_key
  WHERE fresh_key.key IN (SELECT substr(:keys, key * 16 + 1, 16) FROM json_each(:places))
  GROUP BY fresh_key.key) AS fresh
  ON fresh.key = substr(:keys, entry.key * 16 + 1, 16)
LEFT JOIN recent_key ON recent_key.key = substr(:keys, entry.key * 16 + 1, 16)
LEFT JOIN dedup ON dedup.key = substr(:keys, entry.key * 16 + 1, 16)
ORDER BY entry.key;

-- name: copies_of_keys
-- The other deliveries of each key, the latest first: suppressed, or superseded by a later copy.
SELECT entry.key, suppression.delivery
FROM json_each(:places) AS entry
CROSS JOIN suppression ON suppression.key = substr(:keys, entry.key * 16 + 1, 16)
ORDER BY entry.key, suppression.delivery DESC LIMIT :limit;

-- name: where_copies_are
-- For deliveries: the state in the outbox, whether they are not sent, and the time of the last
-- attempt.
SELECT conversion.id, outbox.shown_state,
  conversion.suppressed IS NOT NULL OR discarded.delivery IS NOT NULL,
  (SELECT max(attempt.at) FROM attempted JOIN attempt ON attempt.id = attempted.attempt
   WHERE attempted.delivery = conversion.id)
FROM conversion LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: names_of
-- The inputs of the dedup keys of deliveries, and the times of their receipt.
SELECT conversion.id, queue.pixel, queue.event, CAST(conversion.conversion_id AS TEXT), outbox.received_at
FROM outbox JOIN conversion ON conversion.id = outbox.id JOIN queue ON queue.id = conversion.queue
WHERE outbox.id IN (SELECT value FROM json_each(:deliveries)) AND outbox.state IN ('held', 'dead');

-- name: ids_of_called
-- The events and conversion ids of a tag for an id that users know, the latest first.
SELECT queue.event, CAST(conversion.conversion_id AS TEXT)
FROM called
CROSS JOIN conversion ON conversion.id = called.delivery
CROSS JOIN queue ON queue.id = conversion.queue
WHERE called.name = :name AND queue.pixel = :pixel
ORDER BY called.delivery DESC LIMIT :limit;

-- name: deliveries_of_receipt
-- The conversions of a submission, or those with an id; duplicates have no conversion. The limits of
-- their ids are known before the conversions are read: PostgreSQL would else read from the oldest on.
SELECT conversion.id FROM conversion
WHERE conversion.id >= (SELECT first FROM submission WHERE receipt = :receipt)
  AND conversion.id < (SELECT first + entries FROM submission WHERE receipt = :receipt)
  AND (:conversion_id IS NULL OR CAST(conversion.conversion_id AS TEXT) = :conversion_id)
ORDER BY conversion.id LIMIT :limit;

-- name: resting_deliveries
-- Dead and held deliveries, the latest first.
SELECT outbox.id FROM outbox INDEXED BY resting JOIN queue ON queue.id = outbox.queue
WHERE outbox.state IN ('held', 'dead') AND (:pixel IS NULL OR queue.pixel = :pixel)
  AND outbox.rested_at >= :since AND outbox.rested_at < :until
ORDER BY outbox.rested_at DESC, outbox.id DESC LIMIT :limit;

-- name: find_orphans
-- A conversion without a pixel, or of a submission that does not contain it: no query would find
-- it.
SELECT conversion.id FROM conversion
LEFT JOIN queue ON queue.id = conversion.queue
LEFT JOIN submission ON submission.id = conversion.submission
WHERE queue.id IS NULL OR submission.id IS NULL
  OR conversion.id < submission.first OR conversion.id >= submission.first + submission.entries
LIMIT 1;

-- name: histories
-- Conversions with the complete history of their deliveries.
SELECT
  conversion.id AS delivery, queue.pixel AS pixel, queue.event AS event,
  CAST(conversion.conversion_id AS TEXT) AS conversion_id,
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.shown_state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END AS state,
  submission.source AS source, submission.receipt AS receipt,
  submission.received_at AS received_at, CAST(conversion.body AS BLOB) AS body,
  coalesce(repeated.times, 0) AS duplicates,
  coalesce(outbox.reason, discarded.note, conversion.suppressed) AS reason,
  coalesce(outbox.cause, discarded.cause, conversion.cause) AS cause,
  outbox.due_at AS due_at,
  (SELECT pause.reason FROM pause
   WHERE pause.pixel = queue.pixel AND pause.event IN ('', queue.event)
     AND outbox.shown_state = 'queued'
   ORDER BY pause.event LIMIT 1) AS paused,
  closure.reason AS spent, coalesce(closure.until, 0) AS spent_until,
  consent.evidence AS consent, submission.unfired AS unfired,
  conversion.id - submission.first AS place,
  coalesce(outbox.ambiguous_since, discarded.ambiguous_since) AS ambiguous_since,
  called.name AS called, replaced.by AS superseded_by, conversion.checksum AS checksum,
  joined.gained AS gained,
  value_change.rule AS rule, value_change.value_before AS value_before,
  value_change.currency_before AS currency_before, value_change.value_after AS value_after, value_change.currency AS currency,
  value_change.problem AS problem, value_change.detail AS detail,
  outbox.due_at IS NOT NULL AND joined.joined_at IS NULL AND joined.delivery IS NOT NULL AS is_joining
FROM conversion
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN repeated ON repeated.delivery = conversion.id
LEFT JOIN closure ON closure.pixel = queue.pixel AND outbox.shown_state = 'queued'
LEFT JOIN consent ON consent.delivery = conversion.id
LEFT JOIN called ON called.delivery = conversion.id
LEFT JOIN replaced ON replaced.delivery = conversion.id
LEFT JOIN joined ON joined.delivery = conversion.id
LEFT JOIN value_change ON value_change.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: superseded_by
-- The deliveries whose keys these deliveries claimed.
SELECT replaced.by, replaced.delivery FROM replaced
WHERE replaced.by IN (SELECT value FROM json_each(:deliveries)) ORDER BY replaced.delivery;

-- name: attempts_of
-- The attempts of these deliveries, in the order of writing.
SELECT attempted.delivery, attempt.at, attempt.outcome, attempt.status, attempt.answer,
  attempt.ambiguous, attempt.size
FROM attempted JOIN attempt ON attempt.id = attempted.attempt
WHERE attempted.delivery IN (SELECT value FROM json_each(:deliveries))
ORDER BY attempted.delivery, attempt.id;

-- name: accounts
-- The counts of all accounts, plus the deliveries in the outbox. Pending ones may be a million: the
-- fewer columns are sorted by account, the faster. The others are found with their index.
SELECT
  account.source, account.pixel, received, delivered, duplicate, suppressed, rejected,
  coalesce(resting.dead, 0) AS dead, coalesce(resting.held, 0) AS held,
  coalesce(live.pending, 0) AS pending
FROM account
LEFT JOIN (
  SELECT account, count(*) AS pending
  FROM outbox WHERE state IN ('queued', 'sending') GROUP BY account) AS live
  ON live.account = account.id
LEFT JOIN (
  SELECT account,
    count(CASE WHEN state = 'dead' THEN 1 END) AS dead,
    count(CASE WHEN state = 'held' THEN 1 END) AS held
  FROM outbox WHERE state IN ('held', 'dead') GROUP BY account) AS resting
  ON resting.account = account.id
ORDER BY account.source, account.pixel;

-- name: backlog
-- The pending deliveries, by pixel and hour of rank. Ready ones are counted hour by hour with their
-- index, because grouping a million rows takes five times as long. The rest was tried before, and
-- is a small number.
WITH RECURSIVE step (queue, hour) AS (
  SELECT queue.id, (
    SELECT min(rank) / :hour FROM outbox INDEXED BY ready
    WHERE outbox.queue = queue.id AND state = 'queued' AND due_at IS NULL)
  FROM queue
  UNION ALL
  SELECT step.queue, (
    SELECT min(rank) / :hour FROM outbox INDEXED BY ready
    WHERE outbox.queue = step.queue AND state = 'queued' AND due_at IS NULL
      AND rank >= (step.hour + 1) * :hour)
  FROM step WHERE step.hour IS NOT NULL),
counted (queue, hour, deliveries, first, oldest) AS (
  SELECT step.queue, step.hour, (
    SELECT count(*) FROM outbox INDEXED BY ready
    WHERE outbox.queue = step.queue AND state = 'queued' AND due_at IS NULL
      AND rank >= step.hour * :hour AND rank < (step.hour + 1) * :hour), (
    SELECT min(rank) FROM outbox INDEXED BY ready
    WHERE outbox.queue = step.queue AND state = 'queued' AND due_at IS NULL
      AND rank >= step.hour * :hour), (
    -- Of what is not ambiguous, the rank is when it was received.
    SELECT rank FROM outbox INDEXED BY ready
    WHERE outbox.queue = step.queue AND state = 'queued' AND due_at IS NULL
      AND rank >= step.hour * :hour AND rank < (step.hour + 1) * :hour
      AND ambiguous_since IS NULL
    ORDER BY rank LIMIT 1)
  FROM step WHERE step.hour IS NOT NULL
  UNION ALL
  -- Counted above, or below.
  SELECT queue, rank / :hour, 0, min(rank), min(received_at) FROM outbox INDEXED BY ambiguous
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL GROUP BY 1, 2
  UNION ALL
  SELECT queue, rank / :hour, count(*), min(rank), min(received_at) FROM outbox INDEXED BY aging
  WHERE state = 'queued' AND due_at IS NOT NULL GROUP BY 1, 2
  UNION ALL
  SELECT outbox.queue, outbox.rank / :hour, count(*), min(outbox.rank), min(outbox.received_at)
  FROM lease CROSS JOIN json_each(lease.deliveries) AS claimed
  CROSS JOIN outbox ON outbox.id = claimed.value
  WHERE outbox.state = 'sending' AND outbox.lease = lease.id GROUP BY 1, 2)
SELECT queue.pixel, counted.hour, sum(counted.deliveries), min(counted.first), min(counted.oldest)
FROM counted JOIN queue ON queue.id = counted.queue
GROUP BY queue.pixel, counted.hour ORDER BY queue.pixel, counted.hour;

-- name: delivered_since
-- The conversions that X accepted since a time, by pixel and minute, each at the end of its minute.
SELECT queue.pixel, attempt.at / :minute * :minute + :minute - 1, sum(attempt.size)
FROM attempt INDEXED BY attempt_at JOIN queue ON queue.id = attempt.queue
WHERE attempt.at >= :since AND attempt.outcome = 'delivered' GROUP BY 1, 2 ORDER BY 1, 2;

-- name: delivered_events
-- The delivered conversions of each event among those received in a time, and their match keys, by
-- the beginning of a field in the JSON text.
SELECT
  queue.pixel, queue.event, count(*),
  count(CASE WHEN length(conversion.body) > 0 THEN 1 END),
  count(CASE WHEN instr(CAST(conversion.body AS BLOB), :click) > 0 THEN 1 END),
  count(CASE WHEN instr(CAST(conversion.body AS BLOB), :email) > 0
    AND instr(CAST(conversion.body AS BLOB), :click) = 0 THEN 1 END)
FROM conversion
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id >= :first AND conversion.id < :before
  AND submission.received_at >= :since AND submission.received_at < :until
  AND (:pixels IS NULL OR queue.pixel IN (SELECT value FROM json_each(:pixels)))
  AND outbox.id IS NULL AND discarded.delivery IS NULL AND conversion.suppressed IS NULL
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: alerts
-- Open alerts, and the latest resolved ones.
SELECT id, kind, subject, reason, opened_at, reported_at, unsent_phase, resolved_at
FROM alert ORDER BY opened_at, id;

-- name: keep_alert
-- Store an alert.
INSERT INTO alert (id, kind, subject, reason, opened_at, reported_at, unsent_phase, resolved_at)
VALUES (:id, :kind, :subject, :reason, :opened_at, :reported_at, :unsent_phase, :resolved_at)
ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, reported_at = excluded.reported_at,
  unsent_phase = excluded.unsent_phase, resolved_at = excluded.resolved_at;

-- name: forget_alert
-- Delete a resolved alert.
DELETE FROM alert WHERE id = :id;

-- name: acknowledge
-- Store who acknowledged an alert first.
INSERT INTO acknowledgement (alert, at, who) VALUES (:alert, :at, :who)
ON CONFLICT (alert) DO NOTHING;

-- name: forget_acknowledgement
-- Delete the acknowledgement of an alert.
DELETE FROM acknowledgement WHERE alert = :alert;

-- name: acknowledgements
-- All acknowledgements.
SELECT alert, at, who FROM acknowledgement ORDER BY alert;

-- name: put_mute
-- Mute a subject until a time.
INSERT INTO mute (subject, until, at, who, note) VALUES (:subject, :until, :at, :who, :note)
ON CONFLICT (subject) DO UPDATE SET until = excluded.until, at = excluded.at, who = excluded.who,
  note = excluded.note;

-- name: forget_expired_mutes
-- Delete mutes whose time has passed.
DELETE FROM mute WHERE until <= :now;

-- name: forget_mute
-- End a mute.
DELETE FROM mute WHERE subject = :subject;

-- name: mutes
-- The mutes in a range of subjects.
SELECT subject, until, at, who, note FROM mute
WHERE subject >= :first AND subject < :beyond ORDER BY subject;

-- name: traffic
-- The hours with traffic in a range of sources.
SELECT source, hour, count, first_at, last_at, received FROM traffic
WHERE source >= :first AND source < :beyond ORDER BY source, hour;

-- name: note_traffic
-- Store an hour with traffic of a source.
INSERT INTO traffic (source, hour, count, first_at, last_at, received)
VALUES (:source, :hour, :count, :first_at, :last_at, :received)
ON CONFLICT (source, hour) DO UPDATE SET
  count = excluded.count, last_at = excluded.last_at, received = excluded.received;

-- name: forget_traffic
-- Delete hours that are too old to describe a source.
DELETE FROM traffic WHERE source = :source AND hour < :before;

-- name: webhook_deliveries
-- The latest deliveries of all webhooks.
SELECT id, webhook, at, message, verdict, reason, receipt, times FROM webhook_delivery
ORDER BY at, id;

-- name: note_webhook_delivery
-- Store a delivery of a webhook, or count it again.
INSERT INTO webhook_delivery (id, webhook, at, message, verdict, reason, receipt, times)
VALUES (:id, :webhook, :at, :message, :verdict, :reason, :receipt, :times)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, times = excluded.times;

-- name: forget_webhook_deliveries
-- Delete all deliveries of a webhook but the latest.
DELETE FROM webhook_delivery WHERE webhook = :webhook AND id NOT IN (
  SELECT id FROM webhook_delivery WHERE webhook = :webhook ORDER BY at DESC, id DESC LIMIT :most);

-- name: forget_dedup_report
-- Delete the oldest entries of the deduplication report.
DELETE FROM dedup_report WHERE id IN (
  SELECT id FROM dedup_report INDEXED BY dedup_report_at WHERE at < :before ORDER BY at LIMIT :limit);

-- name: pixel_reports
-- The first reports of one conversion id to X's pixel.
SELECT at, path FROM dedup_report INDEXED BY dedup_report_pixel
WHERE queue = (SELECT id FROM queue WHERE pixel = :pixel AND event = :event)
  AND conversion_id = :conversion_id AND path IN ('pixel', 'blocked')
ORDER BY at LIMIT :limit;

-- name: pixel_copies
-- The first report to X's pixel of the ids of the given conversions, for one event.
SELECT conversion.id, min(dedup_report.at)
FROM conversion CROSS JOIN dedup_report INDEXED BY dedup_report_pixel
  ON dedup_report.queue = (SELECT id FROM queue WHERE pixel = :pixel AND event = :event)
  AND dedup_report.conversion_id = CAST(conversion.conversion_id AS TEXT)
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries))
  AND dedup_report.path IN ('pixel', 'blocked') AND dedup_report.path = 'pixel'
GROUP BY conversion.id;

-- name: id_pairs
-- The orders with two ids that `dedup_report` counts, the latest first, each with one other id.
WITH
  seen AS MATERIALIZED (
    SELECT
      queue, conversion_id, min(at) AS first_at,
      min(CASE WHEN path = 'pixel' THEN at END) AS pixel_first,
      max(CASE WHEN path = 'pixel' THEN at END) AS pixel_last,
      min(CASE WHEN path IN ('page', 'server') THEN at END) AS gateway_first,
      max(path = 'blocked') AS blocked, max(path = 'page') AS page, max(path = 'server') AS server,
      max(email_mark) AS email_mark, max(phone_mark) AS phone_mark, max(click_mark) AS click_mark
    FROM dedup_report INDEXED BY dedup_report_at WHERE at >= :since - :meets_within
    GROUP BY queue, conversion_id),
  marked AS MATERIALIZED (
    SELECT queue, conversion_id, first_at, server, 'email' AS kind, email_mark AS mark FROM seen
    WHERE email_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)
    UNION ALL
    SELECT queue, conversion_id, first_at, server, 'phone', phone_mark FROM seen
    WHERE phone_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)
    UNION ALL
    SELECT queue, conversion_id, first_at, server, 'click', click_mark FROM seen
    WHERE click_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)),
  shared AS MATERIALIZED (
    SELECT queue, kind, mark FROM marked GROUP BY queue, kind, mark HAVING min(server) < max(server)),
  near_by AS MATERIALIZED (
    SELECT
      queue, kind, mark, first_at / :meets_within + near.value AS span,
      min(first_at) AS server_at, conversion_id AS server_id
    FROM shared JOIN marked USING (queue, kind, mark) CROSS JOIN json_each('[-1, 0, 1]') AS near
    WHERE server GROUP BY queue, kind, mark, first_at / :meets_within, near.value
    UNION ALL
    SELECT
      queue, kind, mark, first_at / :meets_within + near.value,
      max(first_at), conversion_id
    FROM shared JOIN marked USING (queue, kind, mark) CROSS JOIN json_each('[-1, 0, 1]') AS near
    WHERE server GROUP BY queue, kind, mark, first_at / :meets_within, near.value),
  paired AS MATERIALIZED (
    SELECT
      marked.queue, marked.conversion_id AS page_id, server_id, first_at,
      min(abs(server_at - first_at)) AS apart
    FROM marked JOIN near_by
      ON near_by.queue = marked.queue AND near_by.kind = marked.kind AND near_by.mark = marked.mark
      AND near_by.span = marked.first_at / :meets_within
    WHERE NOT marked.server AND first_at >= :since AND abs(server_at - first_at) <= :meets_within
    GROUP BY marked.queue, marked.conversion_id)
SELECT queue.pixel, queue.event, page_id, server_id, first_at
FROM paired JOIN queue ON queue.id = paired.queue
WHERE :pixels IS NULL OR queue.pixel IN (SELECT value FROM json_each(:pixels))
ORDER BY first_at DESC, page_id LIMIT :limit;

-- name: dedup_report
-- The paths of conversion ids, by event and day. A page's id without a server's and a server's id
-- without a page's belong to one order if they have an equal mark.
WITH
  seen AS MATERIALIZED (
    SELECT
      queue, conversion_id, min(at) AS first_at,
      min(CASE WHEN path = 'pixel' THEN at END) AS pixel_first,
      max(CASE WHEN path = 'pixel' THEN at END) AS pixel_last,
      min(CASE WHEN path IN ('page', 'server') THEN at END) AS gateway_first,
      max(path = 'blocked') AS blocked, max(path = 'page') AS page, max(path = 'server') AS server,
      max(email_mark) AS email_mark, max(phone_mark) AS phone_mark, max(click_mark) AS click_mark
    FROM dedup_report INDEXED BY dedup_report_at WHERE at >= :since - :meets_within
    GROUP BY queue, conversion_id),
  marked AS MATERIALIZED (
    SELECT queue, conversion_id, first_at, server, 'email' AS kind, email_mark AS mark FROM seen
    WHERE email_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)
    UNION ALL
    SELECT queue, conversion_id, first_at, server, 'phone', phone_mark FROM seen
    WHERE phone_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)
    UNION ALL
    SELECT queue, conversion_id, first_at, server, 'click', click_mark FROM seen
    WHERE click_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)),
  shared AS MATERIALIZED (
    SELECT queue, kind, mark FROM marked GROUP BY queue, kind, mark HAVING min(server) < max(server)),
  -- Spans of 48 hours, each reported to its neighbours too: one row a span, however many share a mark.
  by_server AS MATERIALIZED (
    SELECT
      queue, kind, mark, first_at / :meets_within + near.value AS span,
      min(first_at) AS earliest, max(first_at) AS latest
    FROM shared JOIN marked USING (queue, kind, mark) CROSS JOIN json_each('[-1, 0, 1]') AS near
    WHERE server GROUP BY queue, kind, mark, first_at / :meets_within, near.value),
  twice AS MATERIALIZED (
    SELECT DISTINCT marked.queue, marked.conversion_id
    FROM marked JOIN by_server
      ON by_server.queue = marked.queue AND by_server.kind = marked.kind
      AND by_server.mark = marked.mark AND by_server.span = marked.first_at / :meets_within
    WHERE NOT marked.server AND by_server.earliest <= marked.first_at + :meets_within
      AND by_server.latest >= marked.first_at - :meets_within)
SELECT
  queue.pixel, queue.event, first_at / :day AS day,
  sum(pixel_first IS NOT NULL AND gateway_first IS NOT NULL),
  sum(pixel_first IS NOT NULL AND gateway_first IS NULL),
  sum(pixel_first IS NULL AND gateway_first IS NOT NULL),
  sum(blocked), sum(page AND server), sum(twice.queue IS NOT NULL),
  sum(coalesce(
    max(pixel_last - gateway_first, gateway_first - pixel_first) > :meets_within, 0))
FROM seen
JOIN queue ON queue.id = seen.queue
LEFT JOIN twice ON twice.queue = seen.queue AND twice.conversion_id = seen.conversion_id
WHERE first_at >= :since
GROUP BY queue.pixel, queue.event, day
ORDER BY queue.pixel, queue.event, day;

-- name: rejected_so_far
-- The total number of rejections of an account.
SELECT rejected FROM account WHERE id = :account;

-- name: rejections_before
-- Rejections since a time and before a place, the latest first.
SELECT latest.at, latest.account, latest.nth, account.source, account.pixel, latest.details
FROM (
  SELECT at, account, nth, CAST(details AS BLOB) AS details FROM rejection INDEXED BY rejection_at
  WHERE at >= :since AND (at, account, nth) < (:at, :account, :nth)
  ORDER BY at DESC, account DESC, nth DESC LIMIT :limit) AS latest
CROSS JOIN account ON account.id = latest.account
ORDER BY latest.at DESC, latest.account DESC, latest.nth DESC;

-- name: kept_rejections
-- All stored rejections.
SELECT rejection.id, at, source, CAST(details AS BLOB)
FROM rejection JOIN account ON account.id = rejection.account;

-- name: all_rejections
-- All rows of rejections, unchanged.
SELECT id, at, nth, account, details FROM rejection;

-- name: forget_all_rejections
-- Delete all rejections, to write the rest again.
DELETE FROM rejection;

-- name: forget_rejections
-- Delete rejections from before a time.
DELETE FROM rejection WHERE id IN (SELECT id FROM rejection WHERE at < :before LIMIT :limit);

-- name: pruning
-- The progress of pruning.
SELECT bodies, histories, key, rested_at FROM pruning;

-- name: note_pruning
-- Store the progress of pruning.
UPDATE pruning SET bodies = :bodies, histories = :histories, key = :key, rested_at = :rested_at;

-- name: next_submissions
-- The submissions after one, but never the last, because new ids continue from it.
SELECT id, first, entries, received_at FROM submission
WHERE id > :after AND id < (SELECT max(id) FROM submission) ORDER BY id LIMIT :limit;

-- name: next_credible
-- The time of receipt of the first submission after one that is not in the future.
SELECT received_at FROM submission WHERE id > :after AND received_at <= :latest
ORDER BY id LIMIT 1;

-- name: keep_stragglers
-- Add conversions that are not settled when they are due for pruning, to check them again.
INSERT OR IGNORE INTO straggler (delivery)
SELECT id FROM outbox WHERE id >= :first AND id < :end;

-- name: empty_conversions
-- Delete the bodies of settled conversions.
UPDATE conversion SET body = x''
WHERE id >= :first AND id < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = conversion.id);

-- name: empty_submissions
-- Delete the bodies of submissions.
UPDATE submission SET body = x'', refusals = NULL WHERE id > :after AND id <= :last;

-- name: old_suppressed
-- Conversions that are listed by a key that they do not hold, with their keys.
SELECT conversion.id, queue.pixel, queue.event, conversion.conversion_id
FROM conversion JOIN queue ON queue.id = conversion.queue
WHERE conversion.id >= :first AND conversion.id < :end
  AND (conversion.suppressed IS NOT NULL
    OR EXISTS (SELECT 1 FROM replaced WHERE replaced.delivery = conversion.id));

-- name: forget_suppression
-- Delete such an entry.
DELETE FROM suppression WHERE key = :key AND delivery = :delivery;

-- name: forget_attempted
-- Delete the attempts of pruned deliveries.
DELETE FROM attempted
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = attempted.delivery);

-- name: forget_repeated
-- Delete the duplicate counts of pruned conversions.
DELETE FROM repeated
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = repeated.delivery);

-- name: forget_discarded
-- Delete the reasons of pruned discarded deliveries.
DELETE FROM discarded WHERE delivery >= :first AND delivery < :end;

-- name: forget_replaced
-- Delete the superseded copies of pruned conversions.
DELETE FROM replaced
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = replaced.delivery);

-- name: forget_denied
-- Delete the denials in flight of pruned conversions.
DELETE FROM denied
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = denied.delivery);

-- name: forget_consents
-- Delete the consent decisions of pruned conversions.
DELETE FROM consent
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = consent.delivery);

-- name: forget_conversions
-- Delete settled, old conversions.
DELETE FROM conversion
WHERE id >= :first AND id < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = conversion.id);

-- name: forget_submissions
-- Delete submissions without conversions: none is pending, dead or held, and none was settled
-- since.
DELETE FROM submission
WHERE id > :after AND id <= :last AND NOT EXISTS (
  SELECT 1 FROM conversion
  WHERE conversion.id >= submission.first AND conversion.id < submission.first + submission.entries);

-- name: stragglers
-- The stragglers in the order of their ids: whether and when they were settled, and their accounts.
SELECT straggler.delivery, outbox.id IS NULL, (
    SELECT max(attempt.at) FROM attempted JOIN attempt ON attempt.id = attempted.attempt
    WHERE attempted.delivery = straggler.delivery),
  (SELECT submission FROM conversion WHERE conversion.id = straggler.delivery)
FROM straggler LEFT JOIN outbox ON outbox.id = straggler.delivery
WHERE straggler.delivery > :after ORDER BY straggler.delivery LIMIT :limit;

-- name: forget_straggler
-- Delete a straggler that was handled.
DELETE FROM straggler WHERE delivery = :delivery;

-- name: rested_long
-- Dead and held deliveries without a user's decision.
SELECT json_group_array(id), count(*) FROM (
  SELECT id FROM outbox INDEXED BY resting
  WHERE state IN ('held', 'dead') AND rested_at < :before ORDER BY rested_at LIMIT :limit);

-- name: forget_attempts
-- Delete attempts that no history refers to, but never the last.
DELETE FROM attempt
WHERE id IN (SELECT id FROM attempt INDEXED BY attempt_at WHERE at < :before ORDER BY at LIMIT :limit)
  AND id < (SELECT max(id) FROM attempt);

-- name: first_kept
-- The first conversion that was not pruned, except for stragglers.
SELECT first FROM submission WHERE id > :histories ORDER BY id LIMIT 1;

-- name: next_keys
-- Dedup keys in order.
SELECT key, delivery FROM dedup WHERE key > :after ORDER BY key LIMIT :limit;

-- name: forget_keys
-- Delete the keys of pruned conversions.
DELETE FROM dedup
WHERE key IN (SELECT substr(:keys, key * 16 + 1, 16) FROM json_each(:places))
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = dedup.delivery);

-- name: forget_logged_keys
-- Delete the same keys from the log.
DELETE FROM fresh_key
WHERE delivery IN (SELECT delivery FROM fresh_key WHERE delivery < :before LIMIT :limit)
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = fresh_key.delivery);

-- name: unsettled
-- Those of these deliveries that are in the outbox, as JSON.
SELECT json_group_array(id) FROM outbox WHERE id IN (SELECT value FROM json_each(:deliveries));

-- name: add_user
-- Add a user; no row if the name exists.
INSERT INTO user (name, role, pixels, password, created_at, password_at, code_since, code_step,
  recovery)
VALUES (:user, :role, :pixels, :password, :created_at, :password_at, :code_since, :code_step,
  :recovery)
ON CONFLICT (name) DO NOTHING;

-- name: set_role
-- Change a user's role and pixels.
UPDATE user SET role = :role, pixels = :pixels WHERE name = :user;

-- name: set_password
-- Change a password, if it is still the given one, or in any case.
UPDATE user SET password = :password, password_at = :at
WHERE name = :user AND (:was IS NULL OR password = :was);

-- name: rehash
-- Store another hash of the same password.
UPDATE user SET password = :now WHERE name = :user AND password = :was;

-- name: begin_codes
-- Require codes from a user who needed none.
UPDATE user SET code_since = :since, code_step = :step, recovery = :recovery
WHERE name = :user AND code_since IS NULL;

-- name: end_codes
-- Require no codes from a user.
UPDATE user SET code_since = NULL, code_step = 0, recovery = '[]' WHERE name = :user;

-- name: set_recovery
-- Store the remaining recovery codes.
UPDATE user SET recovery = :recovery WHERE name = :user;

-- name: other_admin
-- Whether there is another admin who sees all pixels.
SELECT EXISTS (SELECT 1 FROM user WHERE role = 'admin' AND pixels IS NULL AND name != :user);

-- name: remove_user
-- Delete a user.
DELETE FROM user WHERE name = :user;

-- name: user
-- One user.
SELECT name, role, pixels, password, created_at, password_at, code_since, code_step, recovery
FROM user WHERE name = :user;

-- name: users
-- All users.
SELECT name, role, pixels, password, created_at, password_at, code_since, code_step, recovery
FROM user ORDER BY name;

-- name: take_step
-- Mark the code of a time step as used, once.
UPDATE user SET code_step = :step WHERE name = :user AND code_step < :step;

-- name: begin_session
-- Add a session, if the user's credentials are unchanged.
INSERT INTO session (digest, user, begun_at, seen_at, address, agent)
SELECT :digest, :user, :begun_at, :seen_at, :address, :agent WHERE EXISTS (
  SELECT 1 FROM user
  WHERE name = :user AND password = :password AND code_since IS :code_since);

-- name: move_session
-- Give a session another token.
UPDATE session SET digest = :to WHERE digest = :digest;

-- name: session
-- The session of a token.
SELECT digest, user, begun_at, seen_at, address, agent FROM session WHERE digest = :digest;

-- name: sessions
-- The sessions of a user.
SELECT digest, user, begun_at, seen_at, address, agent FROM session WHERE user = :user
ORDER BY begun_at DESC;

-- name: seen_session
-- Store the last use of a session.
UPDATE session SET seen_at = :at WHERE digest = :digest;

-- name: end_session
-- Delete a session.
DELETE FROM session WHERE digest = :digest;

-- name: end_sessions
-- Delete all sessions of a user except one.
DELETE FROM session WHERE user = :user AND digest != :but;

-- name: end_old_sessions
-- Delete expired sessions.
DELETE FROM session WHERE begun_at < :begun_before OR seen_at < :seen_before;

-- name: failed_sign_in
-- The failed sign-ins of a user name or address.
SELECT times, at FROM failed_sign_in WHERE key = :key;

-- name: keep_failed_sign_in
-- Store the failed sign-ins of a user name or address.
INSERT INTO failed_sign_in (key, times, at) VALUES (:key, :times, :at)
ON CONFLICT (key) DO UPDATE SET times = excluded.times, at = excluded.at;

-- name: subtract_failed_sign_in
-- Subtract one failed sign-in.
UPDATE failed_sign_in SET times = times - 1 WHERE key = :key;

-- name: forget_failed_sign_in
-- Delete the failed sign-ins of a user name or address, if there are at most so many.
DELETE FROM failed_sign_in WHERE key = :key AND times <= :most;

-- name: forget_old_failed_sign_ins
-- Delete expired counts, and the oldest ones beyond a limit.
DELETE FROM failed_sign_in WHERE at <= :before
  OR at < (SELECT at FROM failed_sign_in ORDER BY at DESC LIMIT 1 OFFSET :most);

-- name: api_keys
-- All API keys.
SELECT id, name, digest, scopes, pixels, created_at, made_by, revoked_at
FROM api_key ORDER BY created_at DESC, id;

-- name: api_key
-- The API key with a digest.
SELECT id, name, digest, scopes, pixels, created_at, made_by, revoked_at
FROM api_key WHERE digest = :digest;

-- name: keep_api_key
-- Add an API key.
INSERT INTO api_key (id, name, digest, scopes, pixels, created_at, made_by, revoked_at)
VALUES (:id, :called, :digest, :scopes, :pixels, :created_at, :made_by, :revoked_at);

-- name: revoke_api_key
-- Revoke an API key.
UPDATE api_key SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL;

-- name: last_audit_event
-- The last entry of the audit log.
SELECT number, hash FROM audit_event WHERE number = (SELECT max(number) FROM audit_event);

-- name: add_audit_event
-- Append to the audit log.
INSERT INTO audit_event (number, at, who, what, subject, detail, hash)
VALUES (:number, :at, :who, :what, :subject, :detail, :hash);

-- name: audit_events_before
-- The latest audit entries.
SELECT number, at, who, what, subject, detail, hash FROM audit_event
WHERE number < :before ORDER BY number DESC LIMIT :limit;

-- name: audit_events_after
-- Audit entries in order.
SELECT number, at, who, what, subject, detail, hash FROM audit_event
WHERE number > :after ORDER BY number LIMIT :limit;

-- name: forget_taken_over
-- Delete keys from the log that the table now gives to other deliveries.
DELETE FROM fresh_key
WHERE key IN (SELECT substr(:keys, entry.key * 16 + 1, 16) FROM json_each(:places) AS entry);

-- name: forget_flow
-- Delete old spans.
DELETE FROM flow WHERE span = :span AND at < :before;

-- name: forget_waited
-- Delete old spans.
DELETE FROM waited WHERE span = :span AND at < :before;

-- name: forget_matched
-- Delete old days.
DELETE FROM matched WHERE day < :before;

-- name: forget_flaws
-- Delete old days.
DELETE FROM flaw WHERE day < :before;

-- name: flows
-- Traffic by span.
SELECT flow.at, sum(flow.received), sum(flow.duplicate), sum(flow.suppressed), sum(flow.rejected),
  sum(flow.delivered), sum(flow.dead)
FROM flow CROSS JOIN account ON account.id = flow.account
WHERE flow.span = :span AND flow.at >= :since
  AND (:pixels IS NULL OR account.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR account.source = :source)
  AND (substr(account.source, 1, 5) = 'test:') = :tests
GROUP BY flow.at ORDER BY flow.at;

-- name: flows_by_pixel
-- Traffic since a time, by pixel.
SELECT account.pixel, min(flow.at), sum(flow.received), sum(flow.duplicate), sum(flow.suppressed),
  sum(flow.rejected)
FROM flow CROSS JOIN account ON account.id = flow.account
WHERE flow.span = :span AND flow.at >= :since
GROUP BY account.pixel ORDER BY account.pixel;

-- name: undelivered_since
-- Of the deliveries received since a time, by pixel: the dead letters, and all that X did not get.
SELECT queue.pixel, sum(counted.dead), sum(counted.deliveries) FROM (
  -- As in `backlog`: the index has the rank, which for most is when they were received.
  SELECT queue.id AS queue, 0 AS dead, (
    SELECT count(*) FROM outbox INDEXED BY ready
    WHERE outbox.queue = queue.id AND state = 'queued' AND due_at IS NULL
      AND rank >= :since) AS deliveries
  FROM queue
  UNION ALL
  SELECT queue, 0, count(*) FROM outbox INDEXED BY ambiguous
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL AND due_at IS NULL
    AND rank < :since AND received_at >= :since GROUP BY queue
  UNION ALL
  SELECT queue, 0, count(*) FROM outbox INDEXED BY aging
  WHERE state = 'queued' AND due_at IS NOT NULL AND received_at >= :since GROUP BY queue
  UNION ALL
  SELECT outbox.queue, 0, count(*)
  FROM lease CROSS JOIN json_each(lease.deliveries) AS claimed
  CROSS JOIN outbox ON outbox.id = claimed.value
  WHERE outbox.state = 'sending' AND outbox.lease = lease.id AND outbox.received_at >= :since
  GROUP BY outbox.queue
  UNION ALL
  SELECT queue, sum(CASE WHEN state = 'dead' THEN 1 ELSE 0 END), count(*)
  FROM outbox INDEXED BY resting_by_id
  WHERE state IN ('held', 'dead') AND received_at >= :since GROUP BY queue
  UNION ALL
  SELECT conversion.queue, 0, count(*) FROM discarded
  CROSS JOIN conversion ON conversion.id = discarded.delivery
  CROSS JOIN submission ON submission.id = conversion.submission
  WHERE discarded.delivery >= :floor AND submission.received_at >= :since GROUP BY conversion.queue
) AS counted JOIN queue ON queue.id = counted.queue GROUP BY queue.pixel;

-- name: counted_since
-- When the first conversion of visible accounts arrived.
SELECT min(since) FROM account
WHERE since > 0 AND (:pixels IS NULL OR pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR source = :source)
  AND (substr(source, 1, 5) = 'test:') = :tests;

-- name: waits
-- Delivery times, by span and slot.
SELECT waited.at, waited.slot, sum(waited.deliveries)
FROM waited CROSS JOIN account ON account.id = waited.account
WHERE waited.span = :span AND waited.at >= :since
  AND (:pixels IS NULL OR account.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR account.source = :source)
  AND (substr(account.source, 1, 5) = 'test:') = :tests
GROUP BY waited.at, waited.slot ORDER BY waited.at, waited.slot;

-- name: matched
-- Match keys of new conversions, by day, account and queue.
SELECT account.source, queue.pixel, queue.event, matched.day, matched.conversions, matched.click,
  matched.email, matched.phone, matched.pair, matched.two, matched.one_short, matched.email_only
FROM matched CROSS JOIN queue ON queue.id = matched.queue
CROSS JOIN account ON account.id = matched.account
WHERE matched.day >= :since
  AND (:pixels IS NULL OR queue.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR account.source = :source);

-- name: matched_by_pixel
-- Match keys of new conversions since a day, by pixel.
SELECT queue.pixel, sum(matched.conversions), sum(matched.click), sum(matched.email),
  sum(matched.phone), sum(matched.pair), sum(matched.two), sum(matched.one_short),
  sum(matched.email_only)
FROM matched CROSS JOIN queue ON queue.id = matched.queue
WHERE matched.day >= :since
GROUP BY queue.pixel ORDER BY queue.pixel;

-- name: flaws
-- Flaws of match keys, by event; shape and delivery are of the row with the greatest last column: the
-- latest conversion, or the latest day if all were rejected.
SELECT account.pixel, coalesce(queue.event, ''), flaw.code, sum(flaw.times), sum(flaw.rejected),
  sum(flaw.wins), flaw.shape, flaw.delivery, max(coalesce(flaw.delivery, flaw.day - 1000000))
FROM flaw CROSS JOIN account ON account.id = flaw.account LEFT JOIN queue ON queue.id = flaw.queue
WHERE flaw.day >= :since
  AND (:pixels IS NULL OR account.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR account.source = :source)
GROUP BY account.pixel, queue.event, flaw.code
ORDER BY sum(flaw.times + flaw.rejected) DESC, 1, 2, 3;

-- name: know
-- Store what events say about visitors.
INSERT INTO known_identifier (key, mark, kind, value, whose, at, seen_at, origin)
SELECT json_extract(fact.value, '$[0]'), json_extract(fact.value, '$[1]'),
  json_extract(fact.value, '$[2]'), json_extract(fact.value, '$[3]'),
  json_extract(fact.value, '$[4]'), json_extract(fact.value, '$[5]'),
  json_extract(fact.value, '$[6]'), json_extract(fact.value, '$[7]')
FROM json_each(:facts) AS fact
WHERE true
ON CONFLICT (key, mark) DO UPDATE
SET seen_at = max(seen_at, excluded.seen_at), at = min(at, excluded.at),
  origin = CASE WHEN excluded.at < at THEN excluded.origin ELSE origin END;

-- name: trim_known
-- Delete the oldest rows of each kind beyond a number. The first letter of a link is what it leads to.
DELETE FROM known_identifier WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER (
      PARTITION BY key, kind, CASE kind WHEN 'link' THEN substr(value, 1, 1) END
      ORDER BY seen_at DESC, id DESC) AS place
    FROM known_identifier WHERE key IN (
      SELECT key FROM known_identifier WHERE key IN (SELECT value FROM json_each(:keys))
      GROUP BY key HAVING count(*) > :most)) AS placed
  WHERE place > :most);

-- name: known_of_keys
-- What is known of visitors.
SELECT key, mark, kind, value, whose, at, seen_at, origin FROM known_identifier
WHERE key IN (SELECT value FROM json_each(:keys));

-- name: known_after
-- Identifiers of visitors by id, to search them.
SELECT id, key, value FROM known_identifier WHERE id > :after ORDER BY id LIMIT :limit;

-- name: ids_known_of_keys
-- The rows of visitors, and those that link to them. Denials stay.
SELECT id FROM known_identifier
WHERE kind <> 'denied'
  AND (key IN (SELECT value FROM json_each(:keys))
    OR (kind = 'link' AND value IN (SELECT value FROM json_each(:keys))))
ORDER BY id;

-- name: forget_known
-- Erase what is known of visitors.
DELETE FROM known_identifier WHERE id IN (SELECT value FROM json_each(:deliveries));

-- name: forget_identifiers
-- Delete the identifiers of visitors who denied consent.
DELETE FROM known_identifier
WHERE key IN (SELECT value FROM json_each(:keys)) AND kind IN ('twclid', 'email', 'phone', 'person');

-- name: forget_old_known
-- Delete what was last seen long ago, and the oldest beyond a number.
DELETE FROM known_identifier WHERE id IN (
  SELECT id FROM known_identifier AS old
  WHERE old.kind = :kind AND (old.seen_at < :before OR old.seen_at < (
    SELECT newer.seen_at FROM known_identifier AS newer WHERE newer.kind = :kind
    ORDER BY newer.seen_at DESC LIMIT 1 OFFSET :most))
  LIMIT :limit);

-- name: waiting_joins
-- Those of the given conversions that wait for identifiers, are ready, and were never sent.
SELECT joined.delivery, joined.keys, joined.whose, joined.since, conversion.queue, queue.pixel,
  CAST(conversion.conversion_id AS TEXT), CAST(conversion.body AS BLOB), submission.received_at
FROM joined
JOIN conversion ON conversion.id = joined.delivery
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
JOIN outbox ON outbox.id = joined.delivery
WHERE joined.delivery IN (SELECT value FROM json_each(:deliveries)) AND joined.joined_at IS NULL
  AND outbox.state = 'queued' AND outbox.due_at IS NULL AND outbox.attempts = 0
  AND outbox.ambiguous_since IS NULL
ORDER BY joined.delivery;

-- name: note_joined
-- Record what a conversion gained.
UPDATE joined SET joined_at = :at, kinds = :kinds, gained = :gained WHERE delivery = :delivery;

-- name: note_nothing_joined
-- Record that conversions gained nothing.
UPDATE joined SET joined_at = :at
WHERE delivery IN (SELECT value FROM json_each(:deliveries)) AND joined_at IS NULL;

-- name: join_counts
-- How many conversions waited since a time, and which identifiers they gained.
SELECT submission.source, queue.pixel, joined.kinds, count(*)
FROM joined
JOIN conversion ON conversion.id = joined.delivery
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
WHERE joined.joined_at >= :since
GROUP BY submission.source, queue.pixel, joined.kinds
ORDER BY submission.source, queue.pixel, joined.kinds;

-- name: joined_keys
-- The keys of conversions that wait or waited.
SELECT keys FROM joined WHERE delivery IN (SELECT value FROM json_each(:deliveries));

-- name: forget_joined
-- Delete what pruned deliveries gained.
DELETE FROM joined
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = joined.delivery);

-- name: forget_value_change
-- Delete what rules made of the amounts of pruned conversions.
DELETE FROM value_change
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = value_change.delivery);

-- name: failed_rules
-- The failures of value rules since a time, by rule and problem, and a detail of each.
SELECT value_change.rule AS rule, value_change.problem AS problem, count(*) AS times,
  max(value_change.detail) AS detail
FROM value_change
CROSS JOIN conversion ON conversion.id = value_change.delivery
CROSS JOIN submission ON submission.id = conversion.submission
WHERE value_change.problem IS NOT NULL AND value_change.delivery >= :floor
  AND substr(submission.source, 1, length(:test)) <> :test
GROUP BY value_change.rule, value_change.problem
ORDER BY value_change.rule, times DESC, value_change.problem;

-- name: forget_called
-- Delete such ids of pruned deliveries.
DELETE FROM called
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = called.delivery);

-- name: forget_flagged
-- Delete remarks on pruned conversions.
DELETE FROM flagged
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = flagged.delivery);

-- name: forget_flawed
-- Delete the flaws of pruned conversions.
DELETE FROM flawed
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = flawed.delivery);

-- name: forget_amended
-- Delete the edits of pruned conversions.
DELETE FROM amended
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = amended.delivery);

-- name: empty_amended
-- Delete the former bodies of edited conversions together with the current ones.
UPDATE amended SET body = x''
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = amended.delivery);

-- name: norms
-- The usual amounts of events.
SELECT pixel, event, currency, seen, zeros, center, spread, first FROM norm
ORDER BY pixel, event, currency;

-- name: keep_norm
-- Store the usual amounts of an event.
INSERT INTO norm (pixel, event, currency, seen, zeros, center, spread, first)
VALUES (:pixel, :event, :currency, :seen, :zeros, :center, :spread, :first)
ON CONFLICT (pixel, event, currency) DO UPDATE SET seen = excluded.seen, zeros = excluded.zeros,
  center = excluded.center, spread = excluded.spread, first = excluded.first;

-- name: latest
-- The newest and the oldest conversion.
SELECT coalesce((SELECT max(id) FROM conversion), 0), coalesce((SELECT min(id) FROM conversion), 0);

-- name: conversions_before
-- The ids of conversions, the newest first.
SELECT id FROM conversion WHERE id < :before AND id >= :floor ORDER BY id DESC LIMIT :limit;

-- name: unsettled_before
-- The ids of unsettled deliveries, the newest first.
SELECT id FROM outbox WHERE id < :before AND id >= :floor ORDER BY id DESC LIMIT :limit;

-- name: resting_before
-- The ids of held and dead deliveries, the newest first.
SELECT id FROM outbox INDEXED BY resting_by_id
WHERE state IN ('held', 'dead') AND id < :before AND id >= :floor ORDER BY id DESC LIMIT :limit;

-- name: suppressed_before
-- The ids of deliveries that are not sent, and of superseded ones, the newest first.
SELECT delivery FROM (
  SELECT delivery FROM suppression INDEXED BY suppression_by_delivery
  WHERE delivery < :before AND delivery >= :floor ORDER BY delivery DESC LIMIT :limit) AS suppressed
UNION SELECT delivery FROM (
  SELECT delivery FROM discarded
  WHERE delivery < :before AND delivery >= :floor ORDER BY delivery DESC LIMIT :limit) AS decided
ORDER BY delivery DESC LIMIT :limit;

-- name: repeated_before
-- The ids of conversions with duplicates, the newest first.
SELECT delivery FROM repeated WHERE delivery < :before AND delivery >= :floor
ORDER BY delivery DESC LIMIT :limit;

-- name: flagged_before
-- The ids of conversions with unusual amounts, the newest first.
SELECT delivery FROM flagged WHERE delivery < :before AND delivery >= :floor
ORDER BY delivery DESC LIMIT :limit;

-- name: flagged_of_account
-- The ids of an account's conversions with unusual amounts, the newest first.
SELECT delivery FROM flagged WHERE account = :account AND delivery < :before AND delivery >= :floor
ORDER BY delivery DESC LIMIT :limit;

-- name: flawed_before
-- The ids of conversions with flawed identifiers, the newest first.
SELECT DISTINCT delivery FROM flawed WHERE delivery < :before AND delivery >= :floor
ORDER BY delivery DESC LIMIT :limit;

-- name: deliveries_called
-- The deliveries of tags with a conversion id, the newest first.
SELECT delivery FROM called WHERE name = :name ORDER BY delivery DESC LIMIT :limit;

-- name: report_began
-- When the first row of the deduplication report arrived.
SELECT min(at) FROM dedup_report;

-- name: reported_among
-- Those of some conversions that the deduplication report counts: as both, or as server_only.
WITH candidate AS MATERIALIZED (
  SELECT conversion.id AS id, conversion.queue AS queue,
    CAST(conversion.conversion_id AS TEXT) AS conversion_id, submission.received_at AS received_at
  FROM conversion JOIN submission ON submission.id = conversion.submission
  WHERE conversion.id IN (SELECT value FROM json_each(:deliveries)))
SELECT candidate.id FROM candidate
WHERE (candidate.received_at, candidate.queue, candidate.conversion_id) IN (
    SELECT at, queue, conversion_id FROM dedup_report INDEXED BY dedup_report_at
    WHERE at >= (SELECT min(received_at) FROM candidate) AND at <= (SELECT max(received_at) FROM candidate)
      AND path IN ('page', 'server'))
  -- Not EXISTS, for which PostgreSQL may read the whole report.
  AND (:path = 'both') = ((
    SELECT 1 FROM dedup_report INDEXED BY dedup_report_pixel
    WHERE dedup_report.queue = candidate.queue AND dedup_report.conversion_id = candidate.conversion_id
      AND path IN ('pixel', 'blocked') AND path = 'pixel' LIMIT 1) IS NOT NULL)
ORDER BY candidate.id DESC;

-- name: blocked_among
-- Those of some conversions that a page reported while X's script was blocked.
SELECT conversion.id FROM conversion
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries)) AND EXISTS (
  SELECT 1 FROM dedup_report INDEXED BY dedup_report_pixel
  WHERE dedup_report.queue = conversion.queue
    AND dedup_report.conversion_id = CAST(conversion.conversion_id AS TEXT)
    AND path IN ('pixel', 'blocked') AND path = 'blocked')
ORDER BY conversion.id DESC;

-- name: matchable_among
-- Those of some conversions that were not suppressed when they were received.
SELECT id FROM conversion
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND suppressed IS NULL ORDER BY id DESC;

-- name: blocked_ids
-- The latest rows of the deduplication report about pages in which X's script did not load.
SELECT queue.pixel, queue.event, CAST(dedup_report.conversion_id AS TEXT)
FROM dedup_report INDEXED BY dedup_report_blocked CROSS JOIN queue ON queue.id = dedup_report.queue
WHERE dedup_report.at >= :since AND dedup_report.path = 'blocked'
  AND (:pixels IS NULL OR queue.pixel IN (SELECT value FROM json_each(:pixels)))
ORDER BY dedup_report.at DESC LIMIT :limit;

-- name: matching
-- Those of some conversions that a filter selects, the newest first. The queues are not joined,
-- because PostgreSQL may compare each conversion with all of them.
SELECT conversion.id FROM conversion
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN flagged ON flagged.delivery = conversion.id
LEFT JOIN flawed ON flawed.delivery = conversion.id AND flawed.code = :code
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries))
  AND submission.received_at >= :since AND submission.received_at < :until
  AND ((:pixels IS NULL AND :events IS NULL) OR conversion.queue IN (
    SELECT queue.id FROM queue
    WHERE (:pixels IS NULL OR queue.pixel IN (SELECT value FROM json_each(:pixels)))
      AND (:events IS NULL OR queue.event IN (SELECT value FROM json_each(:events)))))
  AND (:source IS NULL OR submission.source = :source)
  AND (:tests IS NULL OR (substr(submission.source, 1, 5) = 'test:') = (:tests = 'only'))
  AND (:kind IS NULL OR flagged.kind = :kind OR flagged.kind || ' ' || flagged.currency = :kind)
  AND (:code IS NULL OR flawed.code IS NOT NULL)
  AND (:reason IS NULL OR coalesce(outbox.reason, discarded.note, conversion.suppressed) = :reason)
  AND (:state IS NULL OR :state = CASE
    WHEN outbox.state IS NOT NULL THEN outbox.shown_state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END)
  AND (:pending IS NULL OR outbox.state IN ('queued', 'sending'))
  AND (:digest IS NULL OR instr(CAST(conversion.body AS BLOB), :digest) > 0)
ORDER BY conversion.id DESC LIMIT :limit;

-- name: matching_unsettled
-- The same among conversions of the outbox, from its columns alone: the conversions of a backlog are far
-- apart, so reading them takes ten times as long.
SELECT outbox.id FROM outbox
JOIN account ON account.id = outbox.account
WHERE outbox.id IN (SELECT value FROM json_each(:deliveries))
  AND outbox.received_at >= :since AND outbox.received_at < :until
  AND ((:pixels IS NULL AND :events IS NULL) OR outbox.queue IN (
    SELECT queue.id FROM queue
    WHERE (:pixels IS NULL OR queue.pixel IN (SELECT value FROM json_each(:pixels)))
      AND (:events IS NULL OR queue.event IN (SELECT value FROM json_each(:events)))))
  AND (:source IS NULL OR account.source = :source)
  AND (:tests IS NULL OR (substr(account.source, 1, 5) = 'test:') = (:tests = 'only'))
  AND (:reason IS NULL OR outbox.reason = :reason)
  AND (:state IS NULL OR :state = outbox.shown_state)
  AND (:pending IS NULL OR outbox.state IN ('queued', 'sending'))
ORDER BY outbox.id DESC LIMIT :limit;

-- name: summaries
-- Conversions as rows of a list, the newest first.
SELECT
  conversion.id AS delivery, submission.received_at AS received_at, queue.pixel AS pixel,
  queue.event AS event, CAST(conversion.conversion_id AS TEXT) AS conversion_id,
  submission.source AS source, submission.endpoint AS endpoint, submission.receipt AS receipt,
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.shown_state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END AS state,
  coalesce(outbox.reason, discarded.note, conversion.suppressed) AS reason,
  CAST(conversion.body AS BLOB) AS body, flagged.kind AS kind, flagged.value AS value,
  flagged.currency AS currency, flagged.usual AS usual, coalesce(repeated.times, 0) AS duplicates
FROM conversion
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN flagged ON flagged.delivery = conversion.id
LEFT JOIN repeated ON repeated.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries))
ORDER BY conversion.id DESC;

-- name: copies_of
-- How many duplicates of some conversions were dropped.
SELECT coalesce(sum(times), 0) FROM repeated
WHERE delivery IN (SELECT value FROM json_each(:deliveries));

-- name: ids_after
-- The ids of conversions, in order.
SELECT id FROM conversion WHERE id > :after ORDER BY id LIMIT :limit;

-- name: stored_conversions
-- Conversions with their states, for exports.
SELECT
  conversion.id AS delivery, conversion.id - submission.first AS place,
  submission.receipt AS receipt, submission.received_at AS received_at,
  submission.source AS source, submission.endpoint AS endpoint, queue.pixel AS pixel,
  queue.event AS event, CAST(conversion.conversion_id AS TEXT) AS conversion_id,
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.shown_state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END AS state,
  coalesce(outbox.reason, discarded.note, conversion.suppressed) AS reason,
  coalesce(outbox.cause, discarded.cause, conversion.cause) AS cause,
  CAST(conversion.body AS BLOB) AS body, flagged.kind AS flag
FROM conversion
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN flagged ON flagged.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries))
ORDER BY conversion.id;

-- name: attempt_times
-- When these deliveries were attempted, and the status of each response, in the order of writing.
SELECT attempted.delivery, attempt.at, attempt.status
FROM attempted JOIN attempt ON attempt.id = attempted.attempt
WHERE attempted.delivery IN (SELECT value FROM json_each(:deliveries))
ORDER BY attempted.delivery, attempt.id;

-- name: received_of
-- When a conversion was received.
SELECT submission.received_at
FROM conversion JOIN submission ON submission.id = conversion.submission
WHERE conversion.id = :delivery;

-- name: number_at
-- The first submission received at or after a time, and its first conversion, by a binary search:
-- submissions are numbered in the order of receipt, in PostgreSQL except within a second.
WITH RECURSIVE step (low, high) AS (
  SELECT coalesce((SELECT min(id) FROM submission), 0),
    coalesce((SELECT max(id) FROM submission), -1) + 1
  UNION ALL
  SELECT
    CASE WHEN probe.received_at < :at THEN probe.id + 1 ELSE step.low END,
    CASE WHEN probe.received_at < :at THEN step.high ELSE (step.low + step.high) / 2 END
  FROM step JOIN submission AS probe
    ON probe.id = (SELECT min(id) FROM submission WHERE id >= (step.low + step.high) / 2)
  WHERE step.low < step.high)
SELECT first, id FROM submission WHERE id >= (SELECT max(low) FROM step) ORDER BY id LIMIT 1;

-- name: past_requests
-- Requests in the order of their numbers, from one on.
SELECT id AS number, receipt, source, endpoint, received_at, first, entries,
  CAST(body AS BLOB) AS body, refusals
FROM submission WHERE id >= :number ORDER BY id LIMIT :limit;

-- name: past_conversions
-- The conversions of a range as intake decided about them, before any edit. `is_joined` is whether the
-- body gained identifiers later.
SELECT conversion.id AS delivery, queue.pixel AS pixel, queue.event AS event,
  CAST(conversion.conversion_id AS TEXT) AS conversion_id,
  coalesce(CAST(first_edit.body AS BLOB), CAST(conversion.body AS BLOB)) AS body,
  conversion.suppressed AS suppressed, conversion.cause AS cause, consent.evidence AS evidence,
  CASE outbox.state WHEN 'held' THEN outbox.reason END AS held,
  CASE outbox.state WHEN 'held' THEN outbox.cause END AS held_cause,
  flagged.kind AS kind, flagged.value AS value, flagged.currency AS currency,
  flagged.usual AS usual, coalesce(joined.kinds, '') <> '' AS is_joined
FROM conversion
LEFT JOIN amended AS first_edit ON first_edit.delivery = conversion.id
  AND first_edit.at = (SELECT min(at) FROM amended WHERE amended.delivery = conversion.id)
JOIN queue ON queue.id = coalesce(first_edit.queue, conversion.queue)
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN consent ON consent.delivery = conversion.id
LEFT JOIN flagged ON flagged.delivery = conversion.id
LEFT JOIN joined ON joined.delivery = conversion.id
WHERE conversion.id >= :first AND conversion.id < :after
ORDER BY conversion.id;

-- name: outbox_after
-- The number of deliveries to search after one, and the last of them.
SELECT count(*), max(id) FROM (SELECT id FROM outbox WHERE id > :after ORDER BY id LIMIT :limit) AS looked;

-- name: tag_payloads
-- Queued tag payloads in a range of deliveries.
SELECT
  outbox.id AS delivery, queue.id AS queue, queue.pixel AS pixel,
  CAST(conversion.conversion_id AS BLOB) AS conversion_id, outbox.received_at AS received_at,
  CAST(conversion.body AS BLOB) AS body, conversion.checksum AS checksum
FROM outbox JOIN queue ON queue.id = outbox.queue JOIN conversion ON conversion.id = outbox.id
WHERE outbox.id > :after AND outbox.id <= :last AND queue.pixel >= :first AND queue.pixel < :beyond
ORDER BY outbox.id;

-- name: rewrite_payload
-- Store a payload that was sealed with another key.
UPDATE conversion SET body = :body, checksum = :checksum WHERE id = :delivery;

-- name: payload_heads
-- The beginnings of sealed tag payloads in base64, and the number of payloads with each.
SELECT substr(json_extract(CAST(conversion.body AS TEXT), '$.sealed'), 1, 8) AS head, count(*)
FROM queue CROSS JOIN outbox ON outbox.queue = queue.id
CROSS JOIN conversion ON conversion.id = outbox.id
WHERE queue.pixel >= :first AND queue.pixel < :beyond
  AND CASE WHEN json_valid(CAST(conversion.body AS TEXT))
    THEN json_extract(CAST(conversion.body AS TEXT), '$.sealed') END IS NOT NULL
GROUP BY head;

-- name: origin
-- The submission of a conversion, and the remark on its amount.
SELECT submission.endpoint, CAST(submission.body AS BLOB) AS body, submission.refusals,
  conversion.id - submission.first AS nth, flagged.kind, flagged.value, flagged.currency,
  flagged.usual
FROM conversion JOIN submission ON submission.id = conversion.submission
LEFT JOIN flagged ON flagged.delivery = conversion.id
WHERE conversion.id = :delivery;

-- name: places
-- The submissions of conversions, in the order of the conversion ids.
SELECT conversion.id, conversion.submission, queue.pixel, conversion.id - submission.first
FROM conversion JOIN submission ON submission.id = conversion.submission
JOIN queue ON queue.id = conversion.queue
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries))
ORDER BY conversion.id;

-- name: receipts
-- The receipts of conversions.
SELECT conversion.id, submission.receipt
FROM conversion JOIN submission ON submission.id = conversion.submission
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: get_submissions
-- Submissions as stored.
SELECT id, CAST(body AS BLOB), refusals FROM submission
WHERE id IN (SELECT value FROM json_each(:submissions));

-- name: amended
-- The edits of a conversion, each with the body before it.
SELECT at, note, CAST(body AS BLOB) FROM amended WHERE delivery = :delivery ORDER BY at;

-- name: error_groups
-- The reasons for which deliveries of each queue are dead or held, found by skipping through the
-- index: with each, how many, since when, until when, whether X may have some, and a cause.
WITH RECURSIVE step (queue, pixel, event, state, reason) AS (
  SELECT queue.id, queue.pixel, queue.event, kind.state, (
    SELECT min(reason) FROM outbox INDEXED BY rested_for
    WHERE state IN ('held', 'dead') AND state = kind.state AND outbox.queue = queue.id AND reason > '')
  FROM queue CROSS JOIN (SELECT 'dead' AS state UNION ALL SELECT 'held') AS kind
  WHERE :pixels IS NULL OR queue.pixel IN (SELECT value FROM json_each(:pixels))
  UNION ALL
  SELECT step.queue, step.pixel, step.event, step.state, (
    SELECT min(reason) FROM outbox INDEXED BY rested_for
    WHERE state IN ('held', 'dead') AND state = step.state AND queue = step.queue
      AND reason > step.reason)
  FROM step WHERE step.reason IS NOT NULL)
SELECT step.pixel AS pixel, step.event AS event, step.state AS state, step.reason AS reason, (
  SELECT json_array(count(*), min(rested_at), max(rested_at), count(ambiguous_since)) FROM (
    SELECT rested_at, ambiguous_since FROM outbox INDEXED BY rested_for
    WHERE state IN ('held', 'dead') AND state = step.state AND queue = step.queue
      AND reason = step.reason AND rested_at >= :since AND rested_at < :until
      AND (:source IS NULL OR account IN (SELECT account.id FROM account WHERE source = :source))
    LIMIT :counted) AS rested) AS figures, (
  SELECT cause FROM outbox INDEXED BY rested_for
  WHERE state IN ('held', 'dead') AND state = step.state AND queue = step.queue
    AND reason = step.reason LIMIT 1) AS cause
FROM step
-- Not EXISTS, for which PostgreSQL may read the whole outbox.
WHERE step.reason IS NOT NULL AND (
  SELECT id FROM outbox INDEXED BY rested_for
  WHERE state IN ('held', 'dead') AND state = step.state AND queue = step.queue
    AND reason = step.reason AND rested_at >= :since AND rested_at < :until
    AND (:source IS NULL OR account IN (SELECT account.id FROM account WHERE source = :source))
  LIMIT 1) IS NOT NULL
LIMIT :groups;

-- name: details_of_error_groups
-- The first delivery of each of the given error groups, by their place, and how many became dead or
-- held, by day of a zone.
SELECT chosen.place AS place, (
  SELECT min(id) FROM outbox INDEXED BY rested_for
  WHERE state IN ('held', 'dead') AND state = chosen.state AND outbox.queue = queue.id
    AND reason = chosen.reason
    AND (:source IS NULL OR account IN (SELECT account.id FROM account WHERE source = :source))
  ) AS first, (
  SELECT json_group_array(json_array(day, deliveries)) FROM (
    SELECT (rested_at + :offset) / 86400000 AS day, count(*) AS deliveries FROM (
      SELECT rested_at FROM outbox INDEXED BY rested_for
      WHERE state IN ('held', 'dead') AND state = chosen.state AND outbox.queue = queue.id
        AND reason = chosen.reason AND rested_at >= :since
        AND (:source IS NULL OR account IN (SELECT account.id FROM account WHERE source = :source))
      ORDER BY rested_at DESC LIMIT :counted) AS latest
    GROUP BY 1) AS by_day) AS days
FROM (
  SELECT json_extract(value, '$.place') AS place, json_extract(value, '$.pixel') AS pixel,
    json_extract(value, '$.event') AS event, json_extract(value, '$.state') AS state,
    json_extract(value, '$.reason') AS reason
  FROM json_each(:groups)) AS chosen
JOIN queue ON queue.pixel = chosen.pixel AND queue.event = chosen.event;

-- name: flagged_amounts
-- Those of some conversions that have unusual amounts, the newest first.
SELECT flagged.delivery AS delivery, submission.received_at AS received_at, queue.pixel AS pixel,
  queue.event AS event, CAST(conversion.conversion_id AS TEXT) AS conversion_id, flagged.kind AS kind,
  flagged.value AS value, flagged.currency AS currency, flagged.usual AS usual
FROM flagged
JOIN conversion ON conversion.id = flagged.delivery
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
WHERE flagged.delivery IN (SELECT value FROM json_each(:deliveries))
  AND submission.received_at >= :since AND submission.received_at < :until
ORDER BY flagged.delivery DESC;

-- name: in_error_groups
-- The deliveries of each of the given error groups, by id.
SELECT (
  SELECT json_group_array(id) FROM (
    SELECT id FROM outbox INDEXED BY rested_for
    WHERE state IN ('held', 'dead') AND state = chosen.state AND outbox.queue = queue.id
      AND reason = chosen.reason AND rested_at >= :since AND rested_at < :until AND id > :after
      AND (:source IS NULL OR account IN (SELECT account.id FROM account WHERE source = :source))
    ORDER BY id LIMIT :limit) AS first) AS ids
FROM (
  SELECT json_extract(value, '$.pixel') AS pixel, json_extract(value, '$.event') AS event,
    json_extract(value, '$.state') AS state, json_extract(value, '$.reason') AS reason
  FROM json_each(:groups)) AS chosen
JOIN queue ON queue.pixel = chosen.pixel AND queue.event = chosen.event;

-- name: in_error_groups_before
-- The latest deliveries of each of the given error groups that are older than one.
SELECT (
  SELECT json_group_array(id) FROM (
    SELECT id FROM outbox INDEXED BY rested_for
    WHERE state IN ('held', 'dead') AND state = chosen.state AND outbox.queue = queue.id
      AND reason = chosen.reason AND rested_at >= :since AND rested_at < :until
      AND id >= :floor AND id < :before
    ORDER BY id DESC LIMIT :limit) AS latest) AS ids
FROM (
  SELECT json_extract(value, '$.pixel') AS pixel, json_extract(value, '$.event') AS event,
    json_extract(value, '$.state') AS state, json_extract(value, '$.reason') AS reason
  FROM json_each(:groups)) AS chosen
JOIN queue ON queue.pixel = chosen.pixel AND queue.event = chosen.event;

-- name: resting_among
-- Those of the given deliveries that are dead or held.
SELECT outbox.id FROM outbox JOIN queue ON queue.id = outbox.queue
WHERE outbox.id IN (SELECT value FROM json_each(:deliveries)) AND outbox.state IN ('held', 'dead')
  AND (:pixels IS NULL OR queue.pixel IN (SELECT value FROM json_each(:pixels)))
ORDER BY outbox.id;

-- name: to_amend
-- A dead or held conversion before its edit.
SELECT conversion.queue AS queue, queue.pixel AS pixel, queue.event AS event,
  CAST(conversion.conversion_id AS TEXT) AS conversion_id, outbox.received_at AS received_at,
  CAST(conversion.body AS BLOB) AS body
FROM outbox JOIN conversion ON conversion.id = outbox.id JOIN queue ON queue.id = conversion.queue
WHERE outbox.id = :delivery AND outbox.state IN ('held', 'dead');

-- name: note_amended
-- Store the former conversion.
INSERT OR REPLACE INTO amended (delivery, at, queue, body, note)
VALUES (:delivery, :at, :queue, :body, :note);

-- name: amend_conversion
-- Store the edited conversion.
UPDATE conversion SET queue = :queue, body = :body, checksum = :checksum WHERE id = :delivery;

-- name: amend_delivery
-- Change the queue of an edited delivery.
UPDATE outbox SET queue = :queue WHERE id = :delivery;

-- name: account_sources
-- The sources with conversions for each pixel.
SELECT source, pixel FROM account;

-- name: conversions_after
-- Conversions by id, to search their content.
SELECT conversion.id, conversion.submission, queue.pixel, CAST(conversion.conversion_id AS TEXT),
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.shown_state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  submission.source, called.name, CAST(conversion.body AS BLOB)
FROM conversion
CROSS JOIN queue ON queue.id = conversion.queue
CROSS JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN called ON called.delivery = conversion.id
WHERE conversion.id > :after ORDER BY conversion.id LIMIT :limit;

-- name: conversions_between
-- The conversions of one submission, without their bodies.
SELECT conversion.id, conversion.submission, queue.pixel, CAST(conversion.conversion_id AS TEXT),
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.shown_state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  submission.source, called.name
FROM conversion
CROSS JOIN queue ON queue.id = conversion.queue
CROSS JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN called ON called.delivery = conversion.id
WHERE conversion.id >= :first AND conversion.id < :end ORDER BY conversion.id;

-- name: tags_of
-- The tag deliveries of a submission.
SELECT conversion.id, conversion.submission, queue.pixel, CAST(conversion.conversion_id AS TEXT),
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.shown_state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  submission.source, called.name
FROM submission
CROSS JOIN conversion ON conversion.id >= submission.first
  AND conversion.id < submission.first + submission.entries
CROSS JOIN queue ON queue.id = conversion.queue
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN called ON called.delivery = conversion.id
WHERE submission.id = :number AND substr(queue.pixel, 1, length(:tag)) = :tag;

-- name: submissions_after
-- Submissions by id, to search their content.
SELECT id, first, entries, source, CAST(body AS BLOB) AS body, CAST(refusals AS BLOB) AS refusals,
  CAST(unfired AS BLOB) AS unfired
FROM submission WHERE id > :after ORDER BY id LIMIT :limit;

-- name: dedup_report_after
-- Entries of the deduplication report by id.
SELECT dedup_report.id, queue.pixel, CAST(dedup_report.conversion_id AS TEXT)
FROM dedup_report CROSS JOIN queue ON queue.id = dedup_report.queue
WHERE dedup_report.id > :after ORDER BY dedup_report.id LIMIT :limit;

-- name: answers_after
-- X's responses, in order.
SELECT id, CAST(answer AS BLOB) FROM attempt WHERE id > :after ORDER BY id LIMIT :limit;

-- name: answers_of
-- X's responses to some deliveries.
SELECT attempted.delivery, attempt.id, CAST(attempt.answer AS BLOB)
FROM attempted JOIN attempt ON attempt.id = attempted.attempt
WHERE attempted.delivery IN (SELECT value FROM json_each(:deliveries));

-- name: reasons_after
-- The reasons of dead and held deliveries, by id.
SELECT id, CAST(coalesce(reason, '') AS BLOB) FROM outbox WHERE id > :after ORDER BY id LIMIT :limit;

-- name: notes_after
-- The reasons of discarded deliveries, by id.
SELECT delivery, CAST(note AS BLOB) FROM discarded
WHERE delivery > :after ORDER BY delivery LIMIT :limit;

-- name: amended_after
-- Edits by delivery. A delivery with many edits is one row.
SELECT delivery, CAST(group_concat(note || ' ' || CAST(body AS TEXT), ' ') AS BLOB) FROM amended
WHERE delivery > :after GROUP BY delivery ORDER BY delivery LIMIT :limit;

-- name: pause_texts
-- The reasons of pauses.
SELECT pixel, CAST(reason AS BLOB) FROM pause;

-- name: closure_texts
-- The reasons of used-up rate limit windows.
SELECT pixel, CAST(reason AS BLOB) FROM closure;

-- name: audit_texts_after
-- The texts of the audit log.
SELECT number, CAST(subject || ' ' || detail AS BLOB) FROM audit_event
WHERE number > :after ORDER BY number LIMIT :limit;

-- name: to_erase
-- The conversions to erase, as stored.
SELECT conversion.id, conversion.queue, queue.pixel, queue.event,
  CAST(conversion.conversion_id AS TEXT) AS conversion_id, submission.received_at,
  length(CAST(conversion.body AS BLOB)) AS size, outbox.state
FROM conversion
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: erase_conversion
-- Erase a conversion except for its counts.
UPDATE conversion SET conversion_id = :digest, body = :body, checksum = :checksum
WHERE id = :delivery;

-- name: empty_amended_text
-- Erase the text of an edit.
UPDATE amended SET body = x'', note = :gone WHERE delivery = :of;

-- name: to_cut
-- A submission's body, its rejections, and the tags that did not fire.
SELECT CAST(body AS BLOB), CAST(refusals AS BLOB), CAST(unfired AS BLOB) FROM submission WHERE id = :submission;

-- name: cut_submission
-- Store a submission without the erased parts.
UPDATE submission SET body = :body, refusals = :refusals, unfired = :unfired WHERE id = :submission;

-- name: id_in_dedup_report
-- The conversion id of an entry of the deduplication report.
SELECT CAST(conversion_id AS TEXT) FROM dedup_report WHERE id = :entry;

-- name: erase_in_dedup_report
-- Erase the id of an entry of the deduplication report; it is still counted.
UPDATE dedup_report SET conversion_id = :digest, email_mark = NULL, phone_mark = NULL, click_mark = NULL
WHERE id = :entry;

-- name: index_anew
-- Rebuild the index of reports to X's pixel, so that its old pages are overwritten.
REINDEX dedup_report_pixel;

-- name: empty_answer
-- Erase a response of X that names a person.
UPDATE attempt SET answer = :gone WHERE id = :of;

-- name: empty_reason
-- Erase a reason of a dead or held delivery that names a person.
UPDATE outbox SET reason = :gone WHERE id = :of;

-- name: empty_note
-- Erase a reason of a discarded delivery that names a person.
UPDATE discarded SET note = :gone WHERE delivery = :of;

-- name: empty_pause
-- Erase a reason of a pause that names a person.
UPDATE pause SET reason = :gone WHERE pixel = :of;

-- name: empty_closure
-- Erase a reason of a rate limit window that names a person.
UPDATE closure SET reason = :gone WHERE pixel = :of;
