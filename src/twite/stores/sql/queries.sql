-- Every statement that the store runs, each with a name and a sentence. `VALUES (?, …)` is repeated
-- for as many rows as there are.

-- name: read_deployment
-- Who this deployment is, whether the last owner closed the store, how many turns it has seen, and
-- whether a file beside the database has counted them.
SELECT salt, epoch, clean, turn, marked FROM deployment;

-- name: progress
-- How far a database is, and the page that says so.
SELECT salt, turn, commits, (SELECT rootpage FROM sqlite_schema WHERE name = 'deployment')
FROM deployment;

-- name: opened
-- An owner begins: a new epoch, and not clean until it closes.
UPDATE deployment SET epoch = :epoch, turn = :turn, clean = 0, marked = 1;

-- name: hold_pending
-- Nobody knows what of it was sent.
UPDATE outbox SET state = 'held', lease = NULL, due_at = NULL, reason = :reason, rested_at = :now
WHERE state IN ('queued', 'sending');

-- name: drop_leases
-- Nobody holds anything.
DELETE FROM lease;

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

-- name: read_turn
-- How many claims and settlements there have been, and up to which id conversions have no checksum.
SELECT turn, unsummed FROM deployment;

-- name: note_turn
-- There was another commit. It is counted since SQLite writes no page that stays the same.
UPDATE deployment SET turn = :turn, commits = commits + 1;

-- name: events_of
-- The events under which a pixel, or a tag, has had anything.
SELECT event FROM lane WHERE pixel = :pixel;

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
INSERT INTO submission (
  id, receipt, source, door, received_at, first, entries, body, refusals, unfired)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

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
-- When those who hold keys took them, and where they are in the outbox: as JSON.
SELECT json_group_array(json_array(conversion.id, submission.received_at, outbox.state))
FROM conversion JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: holder
-- Of one that holds a key: its body, what was decided about its consent, why it is held, whether it is not
-- sent, when it was received, where it is in the outbox, and whether X may have it.
SELECT CAST(conversion.body AS BLOB), consent.evidence, outbox.reason,
  conversion.suppressed IS NOT NULL OR discarded.delivery IS NOT NULL, submission.received_at,
  outbox.state, outbox.ambiguous_since IS NOT NULL
FROM conversion JOIN submission ON submission.id = conversion.submission
LEFT JOIN consent ON consent.delivery = conversion.id
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id = :delivery;

-- name: add_replaced
-- A later copy has its key.
INSERT OR REPLACE INTO replaced (delivery, by) VALUES (:delivery, :by);

-- name: show_replaced
-- It is found by the key that it had.
INSERT OR IGNORE INTO suppression (key, delivery) VALUES (:key, :delivery);

-- name: deny
-- What is in flight is not to be tried again.
INSERT OR IGNORE INTO denied (delivery, at, reason)
SELECT id, :now, :reason FROM outbox WHERE id = :delivery AND state = 'sending';

-- name: denied
-- What was denied in flight and is not settled.
SELECT denied.delivery FROM denied JOIN outbox ON outbox.id = denied.delivery;

-- name: denied_at_rest
-- Of these, those that are in flight no more, with the moment and the reason.
SELECT denied.delivery, denied.at, denied.reason FROM denied JOIN outbox ON outbox.id = denied.delivery
WHERE denied.delivery IN (SELECT value FROM json_each(:deliveries)) AND outbox.state <> 'sending';

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
INSERT INTO conversion (id, submission, lane, conversion_id, body, suppressed, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: add_deliveries
-- Deliveries, ready to be sent.
INSERT INTO outbox (id, lane, account, received_at, state)
VALUES (?, ?, ?, ?, 'queued');

-- name: add_held
-- Deliveries that a person must release before they are sent.
INSERT INTO outbox (id, lane, account, received_at, rested_at, reason, state)
VALUES (?, ?, ?, ?, ?, ?, 'held');

-- name: add_consents
-- What was decided about consent.
INSERT INTO consent (delivery, evidence) VALUES (?, ?);

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

-- name: put_sealed
-- A sealed secret, in place of any other of its name.
INSERT INTO vault (name, sealed) VALUES (:name, :sealed)
ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed;

-- name: reseal
-- The same secret under another key, unless it was replaced or forgotten meanwhile.
UPDATE vault SET sealed = :sealed WHERE name = :name AND sealed = :was;

-- name: forget_sealed
-- A secret is kept no more.
DELETE FROM vault WHERE name = :name;

-- name: sealed
-- Sealed secrets whose names lie in a span.
SELECT name, sealed FROM vault WHERE name >= :first AND name < :beyond ORDER BY name;

-- name: count_ignored
-- Something was ignored again, or for the first time; under :other where a day has too many names.
INSERT INTO ignored (day, source, door, name, reason, times)
VALUES (:day, :source, :door, CASE
  WHEN EXISTS (
    SELECT 1 FROM ignored WHERE day = :day AND source = :source AND door = :door
      AND name = :called AND reason = :reason)
    OR (SELECT count(*) FROM ignored WHERE day = :day AND source = :source) < :most
  THEN :called ELSE :other END, :reason, :times)
ON CONFLICT (day, source, door, name, reason) DO UPDATE SET times = times + excluded.times;

-- name: forget_ignored
-- What was ignored before a day is told no more.
DELETE FROM ignored WHERE day < :before;

-- name: ignored
-- What was ignored from a day on.
SELECT day, source, door, name, reason, times FROM ignored WHERE day >= :since
ORDER BY day, source, door, name, reason;

-- name: ignored_names
-- What was ignored, by name.
SELECT DISTINCT name FROM ignored;

-- name: forget_all_ignored
-- All of it goes at once, and is overwritten: the rows were in the order of their names.
DELETE FROM ignored;

-- name: put_ignored
-- How often something was ignored, counted together with what has the same name.
INSERT INTO ignored (day, source, door, name, reason, times)
VALUES (:day, :source, :door, :called, :reason, :times)
ON CONFLICT (day, source, door, name, reason) DO UPDATE SET times = times + excluded.times;

-- name: request_named
-- What the request of that name said, unless that is long ago.
SELECT said FROM request_name WHERE key = :key AND at >= :before;

-- name: name_request
-- A request has a name.
INSERT INTO request_name (key, said, at) VALUES (:key, :said, :at)
ON CONFLICT (key) DO UPDATE SET said = excluded.said, at = excluded.at;

-- name: forget_request_names
-- The oldest names, a few at a time.
DELETE FROM request_name WHERE id IN (
  SELECT id FROM request_name WHERE id <= (SELECT min(id) + 8 FROM request_name) AND at < :before);

-- name: promote
-- Postponed deliveries whose time has come are ready.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox INDEXED BY waiting
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at <= :now
  ORDER BY due_at LIMIT :limit);

-- name: promote_far
-- Deliveries postponed further than any may be were postponed by another clock: they are ready.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox INDEXED BY waiting
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at > :furthest
  LIMIT :limit);

-- name: lane_to_claim
-- The lane of a pixel whose first ready delivery has the earliest deadline of all.
SELECT lane.id, lane.event
FROM lane JOIN outbox ON outbox.id = (
  SELECT oldest.id FROM outbox AS oldest INDEXED BY ready
  WHERE oldest.lane = lane.id AND oldest.state = 'queued' AND oldest.due_at IS NULL
    AND (oldest.ambiguous_since IS NULL OR oldest.ambiguous_since >= :ambiguous_after)
    AND oldest.crashes < :crashes
    AND oldest.id NOT IN (SELECT value FROM json_each(:passing))
  ORDER BY oldest.rank, oldest.id LIMIT 1)
WHERE lane.pixel = :pixel
  AND lane.event NOT IN (SELECT value FROM json_each(:passing_events))
ORDER BY outbox.rank, outbox.id LIMIT 1;

-- name: claimable
-- The ready deliveries of a lane, earliest deadline first, as one row: one crossing from SQLite to Python
-- instead of one a delivery.
SELECT
  json_group_array(json_array(
    id, conversion_id, size, received_at, attempts, ambiguous_since, crashes, checksum)),
  CAST(group_concat(body, '') AS BLOB)
FROM (
  SELECT
    outbox.id, conversion.conversion_id, length(conversion.body) AS size, outbox.received_at,
    outbox.attempts, outbox.ambiguous_since, outbox.crashes, conversion.checksum, conversion.body
  FROM outbox INDEXED BY ready CROSS JOIN conversion ON conversion.id = outbox.id
  WHERE outbox.lane = :lane AND outbox.state = 'queued' AND outbox.due_at IS NULL
    AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
    AND outbox.crashes < :crashes
    AND outbox.id NOT IN (SELECT value FROM json_each(:passing))
  ORDER BY outbox.rank, outbox.id
  LIMIT :limit);

-- name: ready_sizes
-- How many bytes each of the ready deliveries of a lane has, earliest deadline first: what does not fit into
-- a request is not read.
SELECT json_group_array(size)
FROM (
  SELECT coalesce(length(conversion.body), 0) AS size
  FROM outbox INDEXED BY ready LEFT JOIN conversion ON conversion.id = outbox.id
  WHERE outbox.lane = :lane AND outbox.state = 'queued' AND outbox.due_at IS NULL
    AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
    AND outbox.crashes < :crashes
    AND outbox.id NOT IN (SELECT value FROM json_each(:passing))
  ORDER BY outbox.rank, outbox.id
  LIMIT :limit);

-- name: ready_ids
-- The ready deliveries of a lane by their numbers alone, with or without a conversion.
SELECT id FROM outbox INDEXED BY ready
WHERE lane = :lane AND state = 'queued' AND due_at IS NULL
  AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
  AND crashes < :crashes
  AND id NOT IN (SELECT value FROM json_each(:passing))
ORDER BY rank, id
LIMIT :limit;

-- name: ready_one
-- One ready delivery, as it lies there.
SELECT
  CAST(conversion.conversion_id AS BLOB), CAST(conversion.body AS BLOB), outbox.received_at,
  outbox.attempts, outbox.ambiguous_since, outbox.crashes, conversion.checksum
FROM outbox JOIN conversion ON conversion.id = outbox.id WHERE outbox.id = :delivery;

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

-- name: taken_of
-- When deliveries under a lease were received, as JSON by account.
SELECT account, json_group_array(received_at) FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending'
GROUP BY account;

-- name: leased_by
-- How many deliveries under a lease are whose.
SELECT account, count(*) FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending'
GROUP BY account;

-- name: claimed_at
-- When the deliveries of a lease were claimed.
SELECT claimed_at FROM lease WHERE id = :lease;

-- name: count_delivered
-- Add to what an account has delivered.
UPDATE account SET delivered = delivered + :deliveries WHERE id = :account;

-- name: remove_delivered
-- X has them.
DELETE FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: mark_attempted
-- Deliveries that an attempt held and that stay: one more try, and perhaps ambiguous from now on.
UPDATE outbox
SET attempts = attempts + 1,
    crashes = CASE WHEN :survived THEN 0 ELSE crashes END,
    ambiguous_since = CASE WHEN :ambiguous THEN coalesce(ambiguous_since, :at) ELSE ambiguous_since END
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: count_crashes
-- The sender failed with them; 2 and 5 are SUSPECT and QUARANTINED of twite.domain.delivery.
UPDATE outbox
SET crashes = CASE
    WHEN :alone THEN max(crashes, 2) + 1
    ELSE min(crashes + 1, max(crashes, 2)) END
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending';

-- name: quarantined
-- Those of a lease with which the sender has failed too often, as JSON.
SELECT json_group_array(id), count(*) FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND lease = :lease AND state = 'sending'
  AND crashes >= :limit;

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
-- Leases past their end, and those that end later than any may.
SELECT id, lane, claimed_at, deliveries FROM lease
WHERE until < :now OR until > :furthest ORDER BY id;

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

-- name: hold_cautious
-- Ambiguous deliveries of pixels that are not to be sent to again in doubt.
UPDATE outbox SET state = 'held', due_at = NULL, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT outbox.id FROM outbox INDEXED BY ambiguous JOIN lane ON lane.id = outbox.lane
  WHERE outbox.state = 'queued' AND outbox.ambiguous_since IS NOT NULL
    AND lane.pixel IN (SELECT value FROM json_each(:pixels))
  LIMIT :limit);

-- name: hold_ready
-- Ready deliveries of one lane that have waited beyond patience.
UPDATE outbox SET state = 'held', reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox INDEXED BY ready
  WHERE lane = :lane AND state = 'queued' AND due_at IS NULL AND rank < :before
    AND received_at < :before AND (replayed_at IS NULL OR replayed_at < :before)
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
-- A pixel is not sent to, or one event of it.
INSERT INTO pause (pixel, event, since, reason) VALUES (:pixel, :event, :since, :reason)
ON CONFLICT (pixel, event) DO UPDATE SET since = excluded.since, reason = excluded.reason
WHERE pause.reason NOT LIKE :by_user OR excluded.reason LIKE :by_user;

-- name: remove_pause
-- A pixel is sent to again, or one event of it.
DELETE FROM pause WHERE pixel = :pixel AND event = :event;

-- name: remove_same_pause
-- The same, unless there is another pause in its place.
DELETE FROM pause
WHERE pixel = :pixel AND event = :event AND since = :since AND reason = :reason;

-- name: pauses
-- The pauses in force.
SELECT pixel, since, reason, event FROM pause ORDER BY pixel, event;

-- name: add_closure
-- A pixel takes nothing more until a moment.
INSERT INTO closure (pixel, until, reason) VALUES (:pixel, :until, :reason)
ON CONFLICT (pixel) DO UPDATE SET until = excluded.until, reason = excluded.reason;

-- name: closures
-- Until when pixels take nothing more.
SELECT pixel, until, reason FROM closure ORDER BY pixel;

-- name: timed
-- The latest moment on record, the one that was written last, and how far X's clock was ahead of it.
SELECT
  max(coalesce((SELECT max(at) FROM attempt), 0),
      coalesce(
        (SELECT received_at FROM submission WHERE id = (SELECT max(id) FROM submission)), 0)),
  max(coalesce((SELECT at FROM attempt WHERE id = (SELECT max(id) FROM attempt)), 0),
      coalesce(
        (SELECT received_at FROM submission WHERE id = (SELECT max(id) FROM submission)), 0)),
  (SELECT ahead FROM deployment);

-- name: note_ahead
-- X's clock is so far ahead of the moments on record.
UPDATE deployment SET ahead = :ahead;

-- name: hold_in_doubt
-- What was given up is held: it is perhaps not at fault.
UPDATE outbox SET state = 'held', reason = :reason, rested_at = :now
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state = 'dead';

-- name: recall
-- What is held for a reason of ours goes again, each once.
UPDATE outbox
SET state = 'queued', due_at = NULL, replayed_at = :now, rested_at = NULL, reason = NULL
WHERE id IN (
  SELECT id FROM outbox INDEXED BY resting
  WHERE state IN ('held', 'dead') AND state = 'held' AND lane = :lane AND replayed_at IS NULL
    AND substr(reason, 1, length(:reason)) = :reason);

-- name: spent
-- Conversions of each attempt since a moment.
SELECT lane.pixel, attempt.at, attempt.size
FROM attempt INDEXED BY attempt_at JOIN lane ON lane.id = attempt.lane
WHERE attempt.at >= :since ORDER BY attempt.at, attempt.id;

-- name: remarked
-- Of some deliveries, the submissions of those that are held for their amounts.
SELECT DISTINCT submission.first, submission.first + submission.entries
FROM outbox JOIN conversion ON conversion.id = outbox.id
JOIN submission ON submission.id = conversion.submission
WHERE outbox.id IN (SELECT value FROM json_each(:deliveries)) AND outbox.state = 'held'
  AND substr(outbox.reason, 1, length(:reason)) = :reason;

-- name: held_of_submission
-- What of a submission is held.
SELECT outbox.id, lane.pixel, CAST(conversion.conversion_id AS TEXT), outbox.reason
FROM outbox JOIN conversion ON conversion.id = outbox.id JOIN lane ON lane.id = outbox.lane
WHERE outbox.id >= :first AND outbox.id < :end AND outbox.state = 'held';

-- name: replay
-- A person has decided: send them again. That X may have one is forgotten where they are sure; where
-- no try of it is known, it may have it since it came in.
UPDATE outbox
SET state = 'queued', due_at = NULL, replayed_at = :now, rested_at = NULL, reason = NULL,
    ambiguous_since = CASE
      WHEN id IN (SELECT value FROM json_each(:sure)) THEN NULL
      WHEN reason IN (SELECT value FROM json_each(:maybe_sent))
        THEN coalesce(ambiguous_since, received_at)
      ELSE ambiguous_since END
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
INSERT INTO discarded (delivery, at, note, ambiguous_since)
SELECT id, :now, :note, ambiguous_since FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead');

-- name: remove_discarded
-- They leave the outbox.
DELETE FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('held', 'dead');

-- name: opt_outs
-- Who revoked consent, for the writer's memory.
SELECT key FROM opt_out;

-- name: add_opt_out
-- A person revokes.
INSERT INTO opt_out (key, since) VALUES (:key, :now) ON CONFLICT (key) DO NOTHING;

-- name: remove_opt_out
-- A person consents again.
DELETE FROM opt_out WHERE key = :key;

-- name: policies
-- By which policies the sources' deliveries were decided.
SELECT source, version FROM consent_policy ORDER BY source;

-- name: note_policy
-- All of a source's are decided by this version now.
INSERT INTO consent_policy (source, version) VALUES (:source, :version)
ON CONFLICT (source) DO UPDATE SET version = excluded.version;

-- name: standing
-- Deliveries of a source that may still be sent.
SELECT outbox.id, account.pixel, consent.evidence
FROM outbox JOIN account ON account.id = outbox.account
LEFT JOIN consent ON consent.delivery = outbox.id
WHERE outbox.id > :after AND outbox.state IN ('queued', 'held', 'dead') AND account.source = :source
ORDER BY outbox.id LIMIT :limit;

-- name: hold_queued
-- A person decides about what was to be sent.
UPDATE outbox SET state = 'held', due_at = NULL, reason = :reason, rested_at = :now
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state = 'queued';

-- name: count_withdrawn
-- Add deliveries that are not being sent to what their accounts have suppressed.
UPDATE account SET suppressed = suppressed + withdrawn.deliveries
FROM (
  SELECT account, count(*) AS deliveries FROM outbox
  WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('queued', 'held', 'dead')
  GROUP BY account) AS withdrawn
WHERE withdrawn.account = account.id;

-- name: note_withdrawn
-- Why they are not sent.
INSERT INTO discarded (delivery, at, note, ambiguous_since)
SELECT id, :now, :note, ambiguous_since FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('queued', 'held', 'dead');

-- name: remove_withdrawn
-- They leave the outbox.
DELETE FROM outbox
WHERE id IN (SELECT value FROM json_each(:deliveries)) AND state IN ('queued', 'held', 'dead');

-- name: deliveries_of_keys
-- The delivery that has each key: the latest that took it.
SELECT entry.key, coalesce(fresh.delivery, dedup.delivery)
FROM json_each(:places) AS entry
LEFT JOIN (
  -- One walk through the log for all.
  SELECT fresh_key.key, max(fresh_key.delivery) AS delivery FROM fresh_key
  WHERE fresh_key.key IN (SELECT substr(:keys, key * 16 + 1, 16) FROM json_each(:places))
  GROUP BY fresh_key.key) AS fresh
  ON fresh.key = substr(:keys, entry.key * 16 + 1, 16)
LEFT JOIN dedup ON dedup.key = substr(:keys, entry.key * 16 + 1, 16)
ORDER BY entry.key;

-- name: copies_of_keys
-- The other deliveries under each key, the latest first: suppressed, or with a later copy in their place.
SELECT entry.key, suppression.delivery
FROM json_each(:places) AS entry
CROSS JOIN suppression ON suppression.key = substr(:keys, entry.key * 16 + 1, 16)
ORDER BY entry.key, suppression.delivery DESC LIMIT :limit;

-- name: where_copies_are
-- What became of deliveries: where they are in the outbox, whether they are not sent, and when they were last
-- tried.
SELECT conversion.id, outbox.state,
  conversion.suppressed IS NOT NULL OR discarded.delivery IS NOT NULL,
  (SELECT max(attempt.at) FROM attempted JOIN attempt ON attempt.id = attempted.attempt
   WHERE attempted.delivery = conversion.id)
FROM conversion LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: names_of
-- What the dedup keys of deliveries are made of, and when they came in.
SELECT conversion.id, lane.pixel, lane.event, CAST(conversion.conversion_id AS TEXT), outbox.received_at
FROM outbox JOIN conversion ON conversion.id = outbox.id JOIN lane ON lane.id = conversion.lane
WHERE outbox.id IN (SELECT value FROM json_each(:deliveries)) AND outbox.state IN ('held', 'dead');

-- name: ids_of_called
-- Under which events and ids a tag has what people call so, the latest first.
SELECT lane.event, CAST(conversion.conversion_id AS TEXT)
FROM called
CROSS JOIN conversion ON conversion.id = called.delivery
CROSS JOIN lane ON lane.id = conversion.lane
WHERE called.name = :name AND lane.pixel = :pixel
ORDER BY called.delivery DESC LIMIT :limit;

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

-- name: find_orphans
-- A conversion that belongs to no pixel, or to a submission that did not bring it: nobody would find it.
SELECT conversion.id FROM conversion
LEFT JOIN lane ON lane.id = conversion.lane
LEFT JOIN submission ON submission.id = conversion.submission
WHERE lane.id IS NULL OR submission.id IS NULL
  OR conversion.id < submission.first OR conversion.id >= submission.first + submission.entries
LIMIT 1;

-- name: lives
-- Conversions with all that is known of their deliveries.
SELECT
  conversion.id, lane.pixel, lane.event, CAST(conversion.conversion_id AS TEXT),
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  submission.source, submission.receipt, submission.received_at, CAST(conversion.body AS BLOB),
  coalesce(repeated.times, 0),
  coalesce(outbox.reason, discarded.note, conversion.suppressed),
  outbox.due_at,
  (SELECT pause.reason FROM pause
   WHERE pause.pixel = lane.pixel AND pause.event IN ('', lane.event) AND outbox.state = 'queued'
   ORDER BY pause.event LIMIT 1),
  closure.reason, coalesce(closure.until, 0),
  consent.evidence, submission.unfired, conversion.id - submission.first,
  coalesce(outbox.ambiguous_since, discarded.ambiguous_since), called.name, replaced.by, conversion.checksum
FROM conversion
JOIN lane ON lane.id = conversion.lane
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN repeated ON repeated.delivery = conversion.id
LEFT JOIN closure ON closure.pixel = lane.pixel AND outbox.state = 'queued'
LEFT JOIN consent ON consent.delivery = conversion.id
LEFT JOIN called ON called.delivery = conversion.id
LEFT JOIN replaced ON replaced.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: superseded_by
-- Whose keys these deliveries took.
SELECT replaced.by, replaced.delivery FROM replaced
WHERE replaced.by IN (SELECT value FROM json_each(:deliveries)) ORDER BY replaced.delivery;

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

-- name: backlog
-- What is pending, by pixel and hour of rank. What is ready is counted hour by hour along its index:
-- to group a million rows takes five times as long. The rest is what was tried, and that is little.
WITH RECURSIVE step (lane, hour) AS (
  SELECT lane.id, (
    SELECT min(rank) / :hour FROM outbox INDEXED BY ready
    WHERE outbox.lane = lane.id AND state = 'queued' AND due_at IS NULL)
  FROM lane
  UNION ALL
  SELECT step.lane, (
    SELECT min(rank) / :hour FROM outbox INDEXED BY ready
    WHERE outbox.lane = step.lane AND state = 'queued' AND due_at IS NULL
      AND rank >= (step.hour + 1) * :hour)
  FROM step WHERE step.hour IS NOT NULL),
counted (lane, hour, deliveries, first, oldest) AS (
  SELECT step.lane, step.hour, (
    SELECT count(*) FROM outbox INDEXED BY ready
    WHERE outbox.lane = step.lane AND state = 'queued' AND due_at IS NULL
      AND rank >= step.hour * :hour AND rank < (step.hour + 1) * :hour), (
    SELECT min(rank) FROM outbox INDEXED BY ready
    WHERE outbox.lane = step.lane AND state = 'queued' AND due_at IS NULL
      AND rank >= step.hour * :hour), (
    -- Of what is not ambiguous, the rank is when it was received.
    SELECT rank FROM outbox INDEXED BY ready
    WHERE outbox.lane = step.lane AND state = 'queued' AND due_at IS NULL
      AND rank >= step.hour * :hour AND rank < (step.hour + 1) * :hour
      AND ambiguous_since IS NULL
    ORDER BY rank LIMIT 1)
  FROM step WHERE step.hour IS NOT NULL
  UNION ALL
  -- Counted above, or below.
  SELECT lane, rank / :hour, 0, min(rank), min(received_at) FROM outbox INDEXED BY ambiguous
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL GROUP BY 1, 2
  UNION ALL
  SELECT lane, rank / :hour, count(*), min(rank), min(received_at) FROM outbox INDEXED BY aging
  WHERE state = 'queued' AND due_at IS NOT NULL GROUP BY 1, 2
  UNION ALL
  SELECT outbox.lane, outbox.rank / :hour, count(*), min(outbox.rank), min(outbox.received_at)
  FROM lease CROSS JOIN json_each(lease.deliveries) AS claimed
  CROSS JOIN outbox ON outbox.id = claimed.value
  WHERE outbox.state = 'sending' AND outbox.lease = lease.id GROUP BY 1, 2)
SELECT lane.pixel, counted.hour, sum(counted.deliveries), min(counted.first), min(counted.oldest)
FROM counted JOIN lane ON lane.id = counted.lane
GROUP BY lane.pixel, counted.hour ORDER BY lane.pixel, counted.hour;

-- name: delivered_since
-- What X took since a moment, by pixel and minute, each at its end.
SELECT lane.pixel, attempt.at / :minute * :minute + :minute - 1, sum(attempt.size)
FROM attempt INDEXED BY attempt_at JOIN lane ON lane.id = attempt.lane
WHERE attempt.at >= :since AND attempt.outcome = 'delivered' GROUP BY 1, 2 ORDER BY 1, 2;

-- name: alerts
-- Alerts that are open, or over and not told yet.
SELECT id, kind, subject, reason, opened_at, said_at, news, resolved_at
FROM alert ORDER BY opened_at, id;

-- name: keep_alert
-- An alert is new or has changed.
INSERT INTO alert (id, kind, subject, reason, opened_at, said_at, news, resolved_at)
VALUES (:id, :kind, :subject, :reason, :opened_at, :said_at, :news, :resolved_at)
ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, said_at = excluded.said_at,
  news = excluded.news, resolved_at = excluded.resolved_at;

-- name: forget_alert
-- An alert is over, and whoever had to has been told.
DELETE FROM alert WHERE id = :id;

-- name: traffic
-- When something came, by source.
SELECT source, hour, count, first_at, last_at, received FROM traffic ORDER BY source, hour;

-- name: note_traffic
-- Something came from a source.
INSERT INTO traffic (source, hour, count, first_at, last_at, received)
VALUES (:source, :hour, :count, :first_at, :last_at, :received)
ON CONFLICT (source, hour) DO UPDATE SET
  count = excluded.count, last_at = excluded.last_at, received = excluded.received;

-- name: forget_traffic
-- What came so long ago says nothing of a source any more.
DELETE FROM traffic WHERE source = :source AND hour < :before;

-- name: add_sightings
-- Conversion ids on their way.
INSERT INTO sighting (at, lane, way, conversion_id, email_mark, phone_mark, click_mark)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: forget_sightings
-- The oldest go.
DELETE FROM sighting WHERE id IN (
  SELECT id FROM sighting INDEXED BY sighting_at WHERE at < :before ORDER BY at LIMIT :limit);

-- name: twins_told
-- What pages told X's pixel of one conversion id, the first of it.
SELECT at, way FROM sighting INDEXED BY sighting_twin
WHERE lane = (SELECT id FROM lane WHERE pixel = :pixel AND event = :event)
  AND conversion_id = :conversion_id AND way IN ('pixel', 'blocked')
ORDER BY at LIMIT :limit;

-- name: pairs
-- The orders under two ids that overlap counts, the latest first, each with one of its others.
WITH
  seen AS MATERIALIZED (
    SELECT
      lane, conversion_id, min(at) AS first_at,
      min(CASE WHEN way = 'pixel' THEN at END) AS pixel_first,
      max(CASE WHEN way = 'pixel' THEN at END) AS pixel_last,
      min(CASE WHEN way IN ('page', 'server') THEN at END) AS gateway_first,
      max(way = 'blocked') AS blocked, max(way = 'page') AS page, max(way = 'server') AS server,
      max(email_mark) AS email_mark, max(phone_mark) AS phone_mark, max(click_mark) AS click_mark
    FROM sighting INDEXED BY sighting_at WHERE at >= :since - :meets_within
    GROUP BY lane, conversion_id),
  marked AS MATERIALIZED (
    SELECT lane, conversion_id, first_at, server, 'email' AS kind, email_mark AS mark FROM seen
    WHERE email_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)
    UNION ALL
    SELECT lane, conversion_id, first_at, server, 'phone', phone_mark FROM seen
    WHERE phone_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)
    UNION ALL
    SELECT lane, conversion_id, first_at, server, 'click', click_mark FROM seen
    WHERE click_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)),
  shared AS MATERIALIZED (
    SELECT lane, kind, mark FROM marked GROUP BY lane, kind, mark HAVING min(server) < max(server)),
  near_by AS MATERIALIZED (
    SELECT
      lane, kind, mark, first_at / :meets_within + near.value AS span,
      min(first_at) AS server_at, conversion_id AS server_id
    FROM shared JOIN marked USING (lane, kind, mark) CROSS JOIN json_each('[-1, 0, 1]') AS near
    WHERE server GROUP BY lane, kind, mark, first_at / :meets_within, near.value
    UNION ALL
    SELECT
      lane, kind, mark, first_at / :meets_within + near.value,
      max(first_at), conversion_id
    FROM shared JOIN marked USING (lane, kind, mark) CROSS JOIN json_each('[-1, 0, 1]') AS near
    WHERE server GROUP BY lane, kind, mark, first_at / :meets_within, near.value),
  paired AS MATERIALIZED (
    SELECT
      marked.lane, marked.conversion_id AS page_id, server_id, first_at,
      min(abs(server_at - first_at)) AS apart
    FROM marked JOIN near_by
      ON near_by.lane = marked.lane AND near_by.kind = marked.kind AND near_by.mark = marked.mark
      AND near_by.span = marked.first_at / :meets_within
    WHERE NOT marked.server AND first_at >= :since AND abs(server_at - first_at) <= :meets_within
    GROUP BY marked.lane, marked.conversion_id)
SELECT lane.pixel, lane.event, page_id, server_id, first_at
FROM paired JOIN lane ON lane.id = paired.lane
ORDER BY first_at DESC, page_id LIMIT :limit;

-- name: overlap
-- Which way conversion ids went, by event and day. A page's id without a server's and a server's
-- without a page's are one order where a mark is the same.
WITH
  seen AS MATERIALIZED (
    SELECT
      lane, conversion_id, min(at) AS first_at,
      min(CASE WHEN way = 'pixel' THEN at END) AS pixel_first,
      max(CASE WHEN way = 'pixel' THEN at END) AS pixel_last,
      min(CASE WHEN way IN ('page', 'server') THEN at END) AS gateway_first,
      max(way = 'blocked') AS blocked, max(way = 'page') AS page, max(way = 'server') AS server,
      max(email_mark) AS email_mark, max(phone_mark) AS phone_mark, max(click_mark) AS click_mark
    FROM sighting INDEXED BY sighting_at WHERE at >= :since - :meets_within
    GROUP BY lane, conversion_id),
  marked AS MATERIALIZED (
    SELECT lane, conversion_id, first_at, server, 'email' AS kind, email_mark AS mark FROM seen
    WHERE email_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)
    UNION ALL
    SELECT lane, conversion_id, first_at, server, 'phone', phone_mark FROM seen
    WHERE phone_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)
    UNION ALL
    SELECT lane, conversion_id, first_at, server, 'click', click_mark FROM seen
    WHERE click_mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)),
  shared AS MATERIALIZED (
    SELECT lane, kind, mark FROM marked GROUP BY lane, kind, mark HAVING min(server) < max(server)),
  -- Spans of 48 hours, each told to its neighbours too: one row a span, however many share a mark.
  by_server AS MATERIALIZED (
    SELECT
      lane, kind, mark, first_at / :meets_within + near.value AS span,
      min(first_at) AS earliest, max(first_at) AS latest
    FROM shared JOIN marked USING (lane, kind, mark) CROSS JOIN json_each('[-1, 0, 1]') AS near
    WHERE server GROUP BY lane, kind, mark, first_at / :meets_within, near.value),
  twice AS MATERIALIZED (
    SELECT DISTINCT marked.lane, marked.conversion_id
    FROM marked JOIN by_server
      ON by_server.lane = marked.lane AND by_server.kind = marked.kind
      AND by_server.mark = marked.mark AND by_server.span = marked.first_at / :meets_within
    WHERE NOT marked.server AND by_server.earliest <= marked.first_at + :meets_within
      AND by_server.latest >= marked.first_at - :meets_within)
SELECT
  lane.pixel, lane.event, first_at / :day AS day,
  sum(pixel_first IS NOT NULL AND gateway_first IS NOT NULL),
  sum(pixel_first IS NOT NULL AND gateway_first IS NULL),
  sum(pixel_first IS NULL AND gateway_first IS NOT NULL),
  sum(blocked), sum(page AND server), sum(twice.lane IS NOT NULL),
  sum(coalesce(
    max(pixel_last - gateway_first, gateway_first - pixel_first) > :meets_within, 0))
FROM seen
JOIN lane ON lane.id = seen.lane
LEFT JOIN twice ON twice.lane = seen.lane AND twice.conversion_id = seen.conversion_id
WHERE first_at >= :since
GROUP BY lane.pixel, lane.event, day
ORDER BY lane.pixel, lane.event, day;

-- name: rejected_so_far
-- How many of an account were rejected, since the beginning.
SELECT rejected FROM account WHERE id = :account;

-- name: add_rejections
-- What was rejected. The oldest of an account makes room for one too many.
INSERT OR REPLACE INTO rejection (id, at, nth, account, told) VALUES (?, ?, ?, ?, ?);

-- name: rejections
-- What was rejected from a moment on, the latest first.
SELECT at, source, pixel, CAST(told AS BLOB) FROM rejection JOIN account ON account.id = rejection.account
WHERE at >= :since AND (:source IS NULL OR source = :source)
ORDER BY at DESC, account.id DESC, nth DESC;

-- name: kept_rejections
-- All that is kept of what was rejected.
SELECT rejection.id, at, source, pixel, CAST(told AS BLOB)
FROM rejection JOIN account ON account.id = rejection.account;

-- name: all_rejections
-- The rows themselves.
SELECT id, at, nth, account, told FROM rejection;

-- name: forget_all_rejections
-- All of them go, to be written anew.
DELETE FROM rejection;

-- name: forget_rejections
-- What was rejected before a moment is told no more.
DELETE FROM rejection WHERE id IN (SELECT id FROM rejection WHERE at < :before LIMIT :limit);

-- name: pruning
-- How far pruning has come.
SELECT bodies, lives, key, rested_at FROM pruning;

-- name: note_pruning
-- Pruning has come further.
UPDATE pruning SET bodies = :bodies, lives = :lives, key = :key, rested_at = :rested_at;

-- name: next_submissions
-- The submissions after one, never the last of all: ids go on from it.
SELECT id, first, entries, received_at FROM submission
WHERE id > :after AND id < (SELECT max(id) FROM submission) ORDER BY id LIMIT :limit;

-- name: next_credible
-- When the first submission after one was received that was not received in the future.
SELECT received_at FROM submission WHERE id > :after AND received_at <= :latest
ORDER BY id LIMIT 1;

-- name: keep_stragglers
-- What is not settled when its time comes is looked at again.
INSERT OR IGNORE INTO straggler (delivery)
SELECT id FROM outbox WHERE id >= :first AND id < :end;

-- name: empty_conversions
-- The bodies of what is settled go.
UPDATE conversion SET body = x''
WHERE id >= :first AND id < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = conversion.id);

-- name: empty_submissions
-- The bodies of submissions go.
UPDATE submission SET body = x'', refusals = NULL WHERE id > :after AND id <= :last;

-- name: old_suppressed
-- Conversions that are listed by their keys though they do not hold them, to find their keys by.
SELECT conversion.id, lane.pixel, lane.event, conversion.conversion_id
FROM conversion JOIN lane ON lane.id = conversion.lane
WHERE conversion.id >= :first AND conversion.id < :end
  AND (conversion.suppressed IS NOT NULL
    OR EXISTS (SELECT 1 FROM replaced WHERE replaced.delivery = conversion.id));

-- name: forget_suppression
-- Nobody will look for it any more.
DELETE FROM suppression WHERE key = :key AND delivery = :delivery;

-- name: forget_attempted
-- Which attempts held deliveries that are forgotten.
DELETE FROM attempted
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = attempted.delivery);

-- name: forget_repeated
-- How often conversions came again that are forgotten.
DELETE FROM repeated
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = repeated.delivery);

-- name: forget_discarded
-- Why deliveries were given up that are forgotten.
DELETE FROM discarded WHERE delivery >= :first AND delivery < :end;

-- name: forget_replaced
-- Whose keys went to later copies, of conversions that are forgotten.
DELETE FROM replaced
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = replaced.delivery);

-- name: forget_denied
-- What was denied in flight, of conversions that are forgotten.
DELETE FROM denied
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = denied.delivery);

-- name: forget_consents
-- What was decided about the consent of conversions that are forgotten.
DELETE FROM consent
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = consent.delivery);

-- name: forget_conversions
-- Conversions that are settled and old.
DELETE FROM conversion
WHERE id >= :first AND id < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = conversion.id);

-- name: forget_submissions
-- Submissions of which no conversion is left: neither what is pending or rests, nor what was settled since.
DELETE FROM submission
WHERE id > :after AND id <= :last AND NOT EXISTS (
  SELECT 1 FROM conversion
  WHERE conversion.id >= submission.first AND conversion.id < submission.first + submission.entries);

-- name: stragglers
-- Stragglers in the order of their numbers: whether they are settled, since when, and whose they are.
SELECT straggler.delivery, outbox.id IS NULL, (
    SELECT max(attempt.at) FROM attempted JOIN attempt ON attempt.id = attempted.attempt
    WHERE attempted.delivery = straggler.delivery),
  (SELECT submission FROM conversion WHERE conversion.id = straggler.delivery)
FROM straggler LEFT JOIN outbox ON outbox.id = straggler.delivery
WHERE straggler.delivery > :after ORDER BY straggler.delivery LIMIT :limit;

-- name: forget_straggler
-- It has been seen to.
DELETE FROM straggler WHERE delivery = :delivery;

-- name: rested_long
-- Dead and held deliveries that nobody has decided about.
SELECT json_group_array(id), count(*) FROM (
  SELECT id FROM outbox INDEXED BY resting
  WHERE state IN ('held', 'dead') AND rested_at < :before ORDER BY rested_at LIMIT :limit);

-- name: forget_attempts
-- Requests to X that no life tells of any more, never the last of all.
DELETE FROM attempt
WHERE id IN (SELECT id FROM attempt INDEXED BY attempt_at WHERE at < :before ORDER BY at LIMIT :limit)
  AND id < (SELECT max(id) FROM attempt);

-- name: first_kept
-- The first conversion that is not forgotten, stragglers aside.
SELECT first FROM submission WHERE id > :lives ORDER BY id LIMIT 1;

-- name: next_keys
-- Dedup keys in their order.
SELECT key, delivery FROM dedup WHERE key > :after ORDER BY key LIMIT :limit;

-- name: forget_keys
-- Keys whose conversions are forgotten.
DELETE FROM dedup
WHERE key IN (SELECT substr(:keys, key * 16 + 1, 16) FROM json_each(:places))
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = dedup.delivery);

-- name: forget_logged_keys
-- The same in the log.
DELETE FROM fresh_key
WHERE delivery IN (SELECT delivery FROM fresh_key WHERE delivery < :before LIMIT :limit)
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = fresh_key.delivery);

-- name: unsettled
-- Of these deliveries, those that are in the outbox, as JSON.
SELECT json_group_array(id) FROM outbox WHERE id IN (SELECT value FROM json_each(:deliveries));

-- name: add_user
-- Somebody new who may sign in; nothing where the name is somebody's.
INSERT INTO user (name, role, pixels, password, created_at, password_at, code_since, code_step,
  recovery)
VALUES (:user, :role, :pixels, :password, :created_at, :password_at, :code_since, :code_step,
  :recovery)
ON CONFLICT (name) DO NOTHING;

-- name: set_role
-- What somebody may do and see.
UPDATE user SET role = :role, pixels = :pixels WHERE name = :user;

-- name: set_password
-- Another password, in place of the one that it was or of any.
UPDATE user SET password = :password, password_at = :at
WHERE name = :user AND (:was IS NULL OR password = :was);

-- name: rehash
-- Another hash of the same password.
UPDATE user SET password = :now WHERE name = :user AND password = :was;

-- name: begin_codes
-- Somebody is asked for codes, who was not.
UPDATE user SET code_since = :since, code_step = :step, recovery = :recovery
WHERE name = :user AND code_since IS NULL;

-- name: end_codes
-- Somebody is asked for no code any more.
UPDATE user SET code_since = NULL, code_step = 0, recovery = '[]' WHERE name = :user;

-- name: set_recovery
-- Which recovery codes are left.
UPDATE user SET recovery = :recovery WHERE name = :user;

-- name: other_admin
-- Whether there is an admin beside somebody: one sees all pixels.
SELECT EXISTS (SELECT 1 FROM user WHERE role = 'admin' AND pixels IS NULL AND name != :user);

-- name: remove_user
-- Nobody signs in under this name any more.
DELETE FROM user WHERE name = :user;

-- name: user
-- One who may sign in.
SELECT name, role, pixels, password, created_at, password_at, code_since, code_step, recovery
FROM user WHERE name = :user;

-- name: users
-- All who may sign in.
SELECT name, role, pixels, password, created_at, password_at, code_since, code_step, recovery
FROM user ORDER BY name;

-- name: take_step
-- The code of a step is used, once.
UPDATE user SET code_step = :step WHERE name = :user AND code_step < :step;

-- name: begin_session
-- Somebody signed in, with what they still have.
INSERT INTO session (digest, user, begun_at, seen_at, address, agent)
SELECT :digest, :user, :begun_at, :seen_at, :address, :agent WHERE EXISTS (
  SELECT 1 FROM user
  WHERE name = :user AND password = :password AND code_since IS :code_since);

-- name: move_session
-- A session goes on under another token.
UPDATE session SET digest = :to WHERE digest = :digest;

-- name: session
-- Who has a token.
SELECT digest, user, begun_at, seen_at, address, agent FROM session WHERE digest = :digest;

-- name: sessions
-- Where somebody is signed in.
SELECT digest, user, begun_at, seen_at, address, agent FROM session WHERE user = :user
ORDER BY begun_at DESC;

-- name: seen_session
-- A session is in use.
UPDATE session SET seen_at = :at WHERE digest = :digest;

-- name: end_session
-- Somebody signed out.
DELETE FROM session WHERE digest = :digest;

-- name: end_sessions
-- Somebody is signed out everywhere but here.
DELETE FROM session WHERE user = :user AND digest != :but;

-- name: end_old_sessions
-- Sessions that are over.
DELETE FROM session WHERE begun_at < :begun_before OR seen_at < :seen_before;

-- name: api_keys
-- Keys of programs.
SELECT id, name, digest, scopes, pixels, created_at, made_by, revoked_at
FROM api_key ORDER BY created_at DESC, id;

-- name: api_key
-- The program that has a key.
SELECT id, name, digest, scopes, pixels, created_at, made_by, revoked_at
FROM api_key WHERE digest = :digest;

-- name: keep_api_key
-- A program may ask.
INSERT INTO api_key (id, name, digest, scopes, pixels, created_at, made_by, revoked_at)
VALUES (:id, :called, :digest, :scopes, :pixels, :created_at, :made_by, :revoked_at);

-- name: revoke_api_key
-- A program may ask no more.
UPDATE api_key SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL;

-- name: last_deed
-- Where the audit ends.
SELECT number, hash FROM deed WHERE number = (SELECT max(number) FROM deed);

-- name: add_deed
-- Something was done.
INSERT INTO deed (number, at, who, what, subject, detail, hash)
VALUES (:number, :at, :who, :what, :subject, :detail, :hash);

-- name: deeds_before
-- What was done last.
SELECT number, at, who, what, subject, detail, hash FROM deed
WHERE number < :before ORDER BY number DESC LIMIT :limit;

-- name: deeds_after
-- What was done, in its order.
SELECT number, at, who, what, subject, detail, hash FROM deed
WHERE number > :after ORDER BY number LIMIT :limit;

-- name: forget_taken_over
-- An older delivery took these keys over, which the table says: the log must not say otherwise.
DELETE FROM fresh_key
WHERE key IN (SELECT substr(:keys, entry.key * 16 + 1, 16) FROM json_each(:places) AS entry);

-- name: count_flow
-- What came and went, added to what is known of its span.
INSERT INTO flow (span, at, account, received, duplicate, suppressed, rejected, delivered, buried)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (span, at, account) DO UPDATE SET
  received = received + excluded.received, duplicate = duplicate + excluded.duplicate,
  suppressed = suppressed + excluded.suppressed, rejected = rejected + excluded.rejected,
  delivered = delivered + excluded.delivered, buried = buried + excluded.buried;

-- name: forget_flow
-- Spans of long ago.
DELETE FROM flow WHERE span = :span AND at < :before;

-- name: count_waited
-- How long deliveries took, added to what is known of its span.
INSERT INTO waited (span, at, account, slot, deliveries)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (span, at, account, slot) DO UPDATE SET deliveries = deliveries + excluded.deliveries;

-- name: forget_waited
-- Spans of long ago.
DELETE FROM waited WHERE span = :span AND at < :before;

-- name: count_matched
-- Match keys of new conversions, added to what is known of the day.
INSERT INTO matched (day, account, lane, conversions, click, email, phone, pair, two, one_short)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, account, lane) DO UPDATE SET
  conversions = conversions + excluded.conversions, click = click + excluded.click,
  email = email + excluded.email, phone = phone + excluded.phone, pair = pair + excluded.pair,
  two = two + excluded.two, one_short = one_short + excluded.one_short;

-- name: forget_matched
-- Days of long ago.
DELETE FROM matched WHERE day < :before;

-- name: count_flaws
-- What spoilt match keys, added to what is known of the day; the latest is the example.
INSERT INTO flaw (day, account, lane, code, times, wins, shape, delivery)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, account, lane, code) DO UPDATE SET
  times = times + excluded.times, wins = wins + excluded.wins, shape = excluded.shape, delivery = excluded.delivery;

-- name: forget_flaws
-- Days of long ago.
DELETE FROM flaw WHERE day < :before;

-- name: flows
-- What came and went, span by span.
SELECT flow.at, sum(flow.received), sum(flow.duplicate), sum(flow.suppressed), sum(flow.rejected),
  sum(flow.delivered), sum(flow.buried)
FROM flow CROSS JOIN account ON account.id = flow.account
WHERE flow.span = :span AND flow.at >= :since
  AND (:pixels IS NULL OR account.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR account.source = :source)
GROUP BY flow.at ORDER BY flow.at;

-- name: waits
-- How long deliveries took, span by span and slot by slot.
SELECT waited.at, waited.slot, sum(waited.deliveries)
FROM waited CROSS JOIN account ON account.id = waited.account
WHERE waited.span = :span AND waited.at >= :since
  AND (:pixels IS NULL OR account.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR account.source = :source)
GROUP BY waited.at, waited.slot ORDER BY waited.at, waited.slot;

-- name: matched
-- Match keys of new conversions, by day, account and lane.
SELECT lane.pixel, lane.event, matched.day, matched.conversions, matched.click, matched.email,
  matched.phone, matched.pair, matched.two, matched.one_short
FROM matched CROSS JOIN lane ON lane.id = matched.lane
CROSS JOIN account ON account.id = matched.account
WHERE matched.day >= :since
  AND (:pixels IS NULL OR lane.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR account.source = :source);

-- name: flaws
-- What spoilt match keys, by event; shape and delivery are of the latest day.
SELECT account.pixel, coalesce(lane.event, ''), flaw.code, sum(flaw.times), sum(flaw.wins), flaw.shape,
  flaw.delivery, max(flaw.day)
FROM flaw CROSS JOIN account ON account.id = flaw.account LEFT JOIN lane ON lane.id = flaw.lane
WHERE flaw.day >= :since
  AND (:pixels IS NULL OR account.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:source IS NULL OR account.source = :source)
GROUP BY account.pixel, lane.event, flaw.code ORDER BY 4 DESC, 1, 2, 3;

-- name: add_called
-- What people call deliveries of tags.
INSERT INTO called (delivery, name) VALUES (?, ?);

-- name: forget_called
-- What people call those that are forgotten.
DELETE FROM called
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = called.delivery);

-- name: add_flagged
-- Amounts that are remarkable.
INSERT INTO flagged (delivery, kind, value, currency, usual) VALUES (?, ?, ?, ?, ?);

-- name: forget_flagged
-- Remarks on conversions that are forgotten.
DELETE FROM flagged
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = flagged.delivery);

-- name: forget_amended
-- What was changed in conversions that are forgotten.
DELETE FROM amended
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = amended.delivery);

-- name: empty_amended
-- The bodies of before go with those of after.
UPDATE amended SET body = x''
WHERE delivery >= :first AND delivery < :end
  AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = amended.delivery);

-- name: norms
-- What events are usually worth.
SELECT pixel, event, currency, seen, zeros, center, spread, first FROM norm
ORDER BY pixel, event, currency;

-- name: keep_norm
-- What an event is usually worth has been learnt.
INSERT INTO norm (pixel, event, currency, seen, zeros, center, spread, first)
VALUES (:pixel, :event, :currency, :seen, :zeros, :center, :spread, :first)
ON CONFLICT (pixel, event, currency) DO UPDATE SET seen = excluded.seen, zeros = excluded.zeros,
  center = excluded.center, spread = excluded.spread, first = excluded.first;

-- name: latest
-- The newest conversion, and the first that is there.
SELECT coalesce((SELECT max(id) FROM conversion), 0), coalesce((SELECT min(id) FROM conversion), 0);

-- name: newest
-- Conversions of a span of numbers by their numbers alone, the newest first.
SELECT conversion.id FROM conversion
JOIN lane ON lane.id = conversion.lane
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id < :before AND conversion.id >= :floor
  AND (:pixels IS NULL OR lane.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:event IS NULL OR lane.event = :event)
  AND (:source IS NULL OR submission.source = :source)
  AND (:reason IS NULL OR coalesce(outbox.reason, discarded.note, conversion.suppressed) = :reason)
  AND (:state IS NULL OR :state = CASE
    WHEN outbox.state IS NOT NULL THEN outbox.state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END)
ORDER BY conversion.id DESC LIMIT :limit;

-- name: looked_through
-- The first of the conversions before one that are looked through. Their numbers have few gaps.
SELECT max(:floor, :before - :limit);

-- name: unsettled_before
-- How many of the deliveries before one are looked through, and the first of them.
SELECT count(*), min(id) FROM (
  SELECT id FROM outbox WHERE id < :before AND id >= :floor ORDER BY id DESC LIMIT :limit) AS looked;

-- name: newest_unsettled
-- The same among deliveries that are not settled.
SELECT outbox.id FROM outbox
CROSS JOIN lane ON lane.id = outbox.lane CROSS JOIN account ON account.id = outbox.account
WHERE outbox.id < :before AND outbox.id >= :floor AND outbox.state = :state
  AND (:pixels IS NULL OR lane.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:event IS NULL OR lane.event = :event)
  AND (:source IS NULL OR account.source = :source)
  AND (:reason IS NULL OR outbox.reason = :reason)
ORDER BY outbox.id DESC LIMIT :limit;

-- name: flagged_before
-- How many of the remarks before one are looked through, and the first of them.
SELECT count(*), min(delivery) FROM (
  SELECT delivery FROM flagged WHERE delivery < :before AND delivery >= :floor
  ORDER BY delivery DESC LIMIT :limit) AS looked;

-- name: newest_flagged
-- The same among those whose amounts are remarkable. `reason` is the kind of the remark.
SELECT flagged.delivery FROM flagged
CROSS JOIN conversion ON conversion.id = flagged.delivery
CROSS JOIN lane ON lane.id = conversion.lane
CROSS JOIN submission ON submission.id = conversion.submission
WHERE flagged.delivery < :before AND flagged.delivery >= :floor
  AND (:pixels IS NULL OR lane.pixel IN (SELECT value FROM json_each(:pixels)))
  AND (:event IS NULL OR lane.event = :event)
  AND (:source IS NULL OR submission.source = :source)
  AND (:reason IS NULL OR flagged.kind = :reason)
ORDER BY flagged.delivery DESC LIMIT :limit;

-- name: summaries
-- Conversions, each as a line, the newest first.
SELECT
  conversion.id, submission.received_at, lane.pixel, lane.event,
  CAST(conversion.conversion_id AS TEXT), submission.source, submission.door,
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  coalesce(outbox.reason, discarded.note, conversion.suppressed),
  CAST(conversion.body AS BLOB), flagged.kind, flagged.value, flagged.currency, flagged.usual
FROM conversion
JOIN lane ON lane.id = conversion.lane
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN flagged ON flagged.delivery = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries))
ORDER BY conversion.id DESC;

-- name: submission_from
-- When the first submission from a number on was received, and where its conversions begin.
SELECT id, received_at, first FROM submission WHERE id >= :number ORDER BY id LIMIT 1;

-- name: outbox_after
-- How many of the deliveries after one are looked through, and the last of them.
SELECT count(*), max(id) FROM (SELECT id FROM outbox WHERE id > :after ORDER BY id LIMIT :limit) AS looked;

-- name: tag_payloads
-- What waits for tags, in a span of deliveries.
SELECT
  outbox.id, lane.id, lane.pixel, CAST(conversion.conversion_id AS BLOB), outbox.received_at,
  CAST(conversion.body AS BLOB), conversion.checksum
FROM outbox JOIN lane ON lane.id = outbox.lane JOIN conversion ON conversion.id = outbox.id
WHERE outbox.id > :after AND outbox.id <= :last AND lane.pixel >= :first AND lane.pixel < :beyond
ORDER BY outbox.id;

-- name: rewrite_payload
-- Its content stays; what it is sealed with is another key.
UPDATE conversion SET body = :body, checksum = :checksum WHERE id = :delivery;

-- name: payload_heads
-- How the sealed texts of what waits for tags begin, in base64, and how many begin so.
SELECT substr(json_extract(CAST(conversion.body AS TEXT), '$.sealed'), 1, 8) AS head, count(*)
FROM lane CROSS JOIN outbox ON outbox.lane = lane.id
CROSS JOIN conversion ON conversion.id = outbox.id
WHERE lane.pixel >= :first AND lane.pixel < :beyond
  AND CASE WHEN json_valid(CAST(conversion.body AS TEXT))
    THEN json_extract(CAST(conversion.body AS TEXT), '$.sealed') END IS NOT NULL
GROUP BY head;

-- name: last_submission
-- The highest number of a submission.
SELECT coalesce(max(id), 0) FROM submission;

-- name: origin
-- The submission that a conversion came with, and what is remarkable about its amount.
SELECT submission.door, CAST(submission.body AS BLOB), submission.refusals,
  conversion.id - submission.first, flagged.kind, flagged.value, flagged.currency, flagged.usual
FROM conversion JOIN submission ON submission.id = conversion.submission
LEFT JOIN flagged ON flagged.delivery = conversion.id
WHERE conversion.id = :delivery;

-- name: places
-- Where conversions came from, in the order of their numbers.
SELECT conversion.id, conversion.submission, lane.pixel, conversion.id - submission.first
FROM conversion JOIN submission ON submission.id = conversion.submission
JOIN lane ON lane.id = conversion.lane
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries))
ORDER BY conversion.id;

-- name: get_submissions
-- Submissions as they are kept.
SELECT id, CAST(body AS BLOB), refusals FROM submission
WHERE id IN (SELECT value FROM json_each(:submissions));

-- name: amended
-- What people have changed in a conversion.
SELECT at, note FROM amended WHERE delivery = :delivery ORDER BY at;

-- name: next_error_group
-- The next reason for which deliveries of a lane rest.
SELECT reason FROM outbox INDEXED BY rested_for
WHERE state IN ('held', 'dead') AND state = :state AND lane = :lane AND reason > :after
ORDER BY reason LIMIT 1;

-- name: measure_error_group
-- How many deliveries rest for a reason, since when, and whether X may have some.
SELECT count(*), min(rested_at), max(rested_at), max(ambiguous_since IS NOT NULL) FROM (
  SELECT rested_at, ambiguous_since FROM outbox INDEXED BY rested_for
  WHERE state IN ('held', 'dead') AND state = :state AND lane = :lane AND reason = :reason
  LIMIT :limit);

-- name: error_group
-- Deliveries that rest for a reason, by their numbers.
SELECT id FROM outbox INDEXED BY rested_for
WHERE state IN ('held', 'dead') AND state = :state AND lane = :lane AND reason = :reason
  AND id > :after
ORDER BY id LIMIT :limit;

-- name: resting_among
-- Those of some deliveries that rest.
SELECT outbox.id FROM outbox JOIN lane ON lane.id = outbox.lane
WHERE outbox.id IN (SELECT value FROM json_each(:deliveries)) AND outbox.state IN ('held', 'dead')
  AND (:pixels IS NULL OR lane.pixel IN (SELECT value FROM json_each(:pixels)))
ORDER BY outbox.id;

-- name: to_amend
-- A dead or held conversion as it is.
SELECT conversion.lane, lane.pixel, lane.event, CAST(conversion.conversion_id AS TEXT),
  outbox.received_at, CAST(conversion.body AS BLOB)
FROM outbox JOIN conversion ON conversion.id = outbox.id JOIN lane ON lane.id = conversion.lane
WHERE outbox.id = :delivery AND outbox.state IN ('held', 'dead');

-- name: note_amended
-- What it was.
INSERT OR REPLACE INTO amended (delivery, at, lane, body, note)
VALUES (:delivery, :at, :lane, :body, :note);

-- name: amend_conversion
-- What it is from now on.
UPDATE conversion SET lane = :lane, body = :body, checksum = :checksum WHERE id = :delivery;

-- name: amend_delivery
-- Its lane is another.
UPDATE outbox SET lane = :lane WHERE id = :delivery;

-- name: account_sources
-- Which sources have anything at which pixels.
SELECT source, pixel FROM account;

-- name: conversions_after
-- Conversions in the order of their numbers, for a look at what they hold.
SELECT conversion.id, conversion.submission, lane.pixel, CAST(conversion.conversion_id AS TEXT),
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  submission.source, called.name, CAST(conversion.body AS BLOB)
FROM conversion
CROSS JOIN lane ON lane.id = conversion.lane
CROSS JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN called ON called.delivery = conversion.id
WHERE conversion.id > :after ORDER BY conversion.id LIMIT :limit;

-- name: conversions_between
-- The same of one submission, without their bodies.
SELECT conversion.id, conversion.submission, lane.pixel, CAST(conversion.conversion_id AS TEXT),
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  submission.source, called.name
FROM conversion
CROSS JOIN lane ON lane.id = conversion.lane
CROSS JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN called ON called.delivery = conversion.id
WHERE conversion.id >= :first AND conversion.id < :end ORDER BY conversion.id;

-- name: tags_of
-- The same of what a submission brought for tags.
SELECT conversion.id, conversion.submission, lane.pixel, CAST(conversion.conversion_id AS TEXT),
  CASE
    WHEN outbox.state IS NOT NULL THEN outbox.state
    WHEN discarded.note IS NOT NULL OR conversion.suppressed IS NOT NULL THEN 'suppressed'
    ELSE 'delivered'
  END,
  submission.source, called.name
FROM submission
CROSS JOIN conversion ON conversion.id >= submission.first
  AND conversion.id < submission.first + submission.entries
CROSS JOIN lane ON lane.id = conversion.lane
LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
LEFT JOIN called ON called.delivery = conversion.id
WHERE submission.id = :number AND substr(lane.pixel, 1, length(:tag)) = :tag;

-- name: submissions_after
-- Submissions in the order of their numbers, for a look at what they hold.
SELECT id, first, entries, source, CAST(body AS BLOB), CAST(refusals AS BLOB), CAST(unfired AS BLOB)
FROM submission WHERE id > :after ORDER BY id LIMIT :limit;

-- name: sightings_after
-- Sightings in the order of their numbers.
SELECT sighting.id, lane.pixel, CAST(sighting.conversion_id AS TEXT)
FROM sighting CROSS JOIN lane ON lane.id = sighting.lane
WHERE sighting.id > :after ORDER BY sighting.id LIMIT :limit;

-- name: answers_after
-- What X said, in its order.
SELECT id, CAST(answer AS BLOB) FROM attempt WHERE id > :after ORDER BY id LIMIT :limit;

-- name: answers_of
-- What X said of some deliveries.
SELECT attempted.delivery, attempt.id, CAST(attempt.answer AS BLOB)
FROM attempted JOIN attempt ON attempt.id = attempted.attempt
WHERE attempted.delivery IN (SELECT value FROM json_each(:deliveries));

-- name: reasons_after
-- Why deliveries rest, by their numbers.
SELECT id, CAST(coalesce(reason, '') AS BLOB) FROM outbox WHERE id > :after ORDER BY id LIMIT :limit;

-- name: notes_after
-- Why deliveries were given up, by their numbers.
SELECT delivery, CAST(note AS BLOB) FROM discarded
WHERE delivery > :after ORDER BY delivery LIMIT :limit;

-- name: amended_after
-- What people have changed, by the numbers of the deliveries. One with many changes is one row.
SELECT delivery, CAST(group_concat(note || ' ' || CAST(body AS TEXT), ' ') AS BLOB) FROM amended
WHERE delivery > :after GROUP BY delivery ORDER BY delivery LIMIT :limit;

-- name: pause_texts
-- Why pixels are not sent to.
SELECT pixel, CAST(reason AS BLOB) FROM pause;

-- name: closure_texts
-- Which limits are spent.
SELECT pixel, CAST(reason AS BLOB) FROM closure;

-- name: deed_texts_after
-- What the audit says.
SELECT number, CAST(subject || ' ' || detail AS BLOB) FROM deed
WHERE number > :after ORDER BY number LIMIT :limit;

-- name: to_erase
-- Conversions as they are, for those that go.
SELECT conversion.id, conversion.lane, lane.pixel, lane.event,
  CAST(conversion.conversion_id AS TEXT), conversion.suppressed, submission.received_at,
  length(CAST(conversion.body AS BLOB)), outbox.state
FROM conversion
JOIN lane ON lane.id = conversion.lane
JOIN submission ON submission.id = conversion.submission
LEFT JOIN outbox ON outbox.id = conversion.id
WHERE conversion.id IN (SELECT value FROM json_each(:deliveries));

-- name: erase_conversion
-- Nothing of it is left but what it is counted as.
UPDATE conversion SET conversion_id = :digest, body = :body, checksum = :checksum
WHERE id = :delivery;

-- name: empty_amended_text
-- What was changed in it says nothing any more.
UPDATE amended SET body = x'', note = :gone WHERE delivery = :of;

-- name: to_cut
-- A submission's body, its refusals, and which tags did not fire.
SELECT CAST(body AS BLOB), CAST(refusals AS BLOB), CAST(unfired AS BLOB) FROM submission WHERE id = :submission;

-- name: cut_submission
-- Some of it is gone.
UPDATE submission SET body = :body, refusals = :refusals, unfired = :unfired WHERE id = :submission;

-- name: sighted
-- Which conversion id was seen.
SELECT CAST(conversion_id AS TEXT) FROM sighting WHERE id = :sighting;

-- name: erase_sighting
-- It is counted still, and is nobody's.
UPDATE sighting SET conversion_id = :digest, email_mark = NULL, phone_mark = NULL, click_mark = NULL
WHERE id = :sighting;

-- name: index_anew
-- The index of ids that pages told X's pixel is made anew; the pages that it had are overwritten.
REINDEX sighting_twin;

-- name: empty_answer
-- What X said names somebody.
UPDATE attempt SET answer = :gone WHERE id = :of;

-- name: empty_reason
-- Why it rests names somebody.
UPDATE outbox SET reason = :gone WHERE id = :of;

-- name: empty_note
-- Why it was given up names somebody.
UPDATE discarded SET note = :gone WHERE delivery = :of;

-- name: empty_pause
-- Why the pixel is not sent to names somebody.
UPDATE pause SET reason = :gone WHERE pixel = :of;

-- name: empty_closure
-- Which limit is spent names somebody.
UPDATE closure SET reason = :gone WHERE pixel = :of;
