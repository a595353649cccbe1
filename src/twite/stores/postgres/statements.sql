-- Statements that differ from the shared ones, or exist only for PostgreSQL. Those with $1, $2 … add
-- rows given as columns; `at_once` combines them. `SELECT unnest(…), unnest(…)` needs less CPU time
-- than `FROM unnest(…, …)`, which stores each column. Statements lock rows in the order of their ids,
-- which prevents deadlocks, except for settle_delivered.

-- name: begin
-- A transaction has an id, and the ids of its rows derive from it. The row proves that the
-- transaction was committed. Another client of a pooler may have left synchronous_commit off. If
-- this machine is cut off, the server soon ends the transaction, and releases its locks.
-- Without :mark, it has a new block of ids.
WITH setting AS MATERIALIZED (
  SELECT set_config('synchronous_commit', 'on', true) AS value,
    set_config('idle_in_transaction_session_timeout', '8s', true))
INSERT INTO transaction_mark (id)
SELECT coalesce(:mark::bigint,
  greatest(extract(epoch FROM clock_timestamp())::bigint - 1767225600, 0) << 23
    | ((nextval('id_group') & 4095) << 11))
FROM setting WHERE setting.value = 'on'
RETURNING id;

-- name: more_ids
-- Ids for a transaction that needs more than its group has.
SELECT greatest(extract(epoch FROM clock_timestamp())::bigint - 1767225600, 0) << 23
  | ((nextval('id_group') & 4095) << 11);

-- name: confirm
-- Fails if the transaction was committed, and waits while it is being committed.
INSERT INTO transaction_mark (id) VALUES (:id) ON CONFLICT DO NOTHING RETURNING id;

-- name: forget_marks
-- Delete marks of more than an hour ago, which no node looks for any more. An array is read once; a
-- plan may run a subquery after IN for each row, and delete more than the limit.
DELETE FROM transaction_mark WHERE id = ANY (ARRAY(
  SELECT id FROM transaction_mark
  WHERE id < (extract(epoch FROM clock_timestamp())::bigint - 1767225600 - 3600) << 23
  LIMIT :limit FOR UPDATE SKIP LOCKED));

-- name: try_to_prune
-- Let one node at a time prune.
SELECT pg_try_advisory_xact_lock(7459, 0);

-- name: next_keys
-- Dedup keys in order.
SELECT key, delivery FROM dedup WHERE key > :after ORDER BY key LIMIT :limit;

-- name: forget_keys
-- Delete the keys of pruned conversions, unless others have claimed them since the walk read them.
-- Keys that are being claimed are left for the next walk.
DELETE FROM dedup WHERE key IN (
  SELECT key FROM dedup WHERE key = ANY (:keys::uuid[]) AND delivery < :before
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = dedup.delivery)
  ORDER BY key FOR UPDATE SKIP LOCKED);

-- name: read_deployment
-- The identity of this deployment, for readers that need the salt.
SELECT salt, epoch, 1, 0, 1 FROM deployment;

-- name: change_version
-- The current version of a copy.
SELECT version FROM change WHERE what = :what;

-- name: note_change
-- Mark all copies as outdated.
INSERT INTO change AS known (what, version) VALUES (:what, 1)
ON CONFLICT (what) DO UPDATE SET version = known.version + 1;

-- name: news
-- The versions of all copies, and the pixels with ready deliveries: one index lookup for each
-- event.
SELECT (SELECT json_object_agg(what, version)::text FROM change),
  (SELECT coalesce(json_agg(DISTINCT queue.pixel), '[]')::text FROM queue
   WHERE queue.pixel = ANY (:pixels::text[])
     AND (queue.pixel, queue.event) NOT IN (
       SELECT * FROM unnest(:passing_pixels::text[], :passing_events::text[]))
     AND (SELECT true FROM outbox
          WHERE outbox.queue = queue.id AND state = 'queued' AND due_at IS NULL LIMIT 1));

-- name: lock_name
-- Process requests with the same idempotency key one after the other.
SELECT pg_advisory_xact_lock(7455, hashtext(name)) FROM unnest(:names::text[]) AS name ORDER BY name;

-- name: lock_directory
-- Change users and keys one after the other.
SELECT pg_advisory_xact_lock(7456, 0);

-- name: lock_audit_events
-- Append audit entries one after the other, because the hash of an entry covers the one before.
SELECT pg_advisory_xact_lock(7457, 0);

-- name: lock_rejections
-- Assign places in the ring buffer of an account one after the other.
SELECT pg_advisory_xact_lock(7460, hashint8(:account));

-- name: lock_ring
-- Lock the rejections, because all of them are written again.
LOCK TABLE rejection IN SHARE ROW EXCLUSIVE MODE;

-- name: lock_ignored
-- Lock the counts, because all of them are written again.
LOCK TABLE ignored IN SHARE ROW EXCLUSIVE MODE;

-- name: to_cut
-- See the shared statement. Locked, because the data of another person may be erased from it at the
-- same time.
SELECT body, refusals, unfired FROM submission WHERE id = :submission FOR UPDATE;

-- name: names_of_event
-- The names of an event that another node has added.
SELECT pixel, event FROM queue WHERE id = :event;

-- name: add_queue
-- Add a pixel and event; no row if another transaction has just added them.
WITH new AS (
  INSERT INTO queue (pixel, event) VALUES (:pixel, :event) ON CONFLICT DO NOTHING RETURNING id)
SELECT id FROM new UNION ALL SELECT id FROM queue WHERE pixel = :pixel AND event = :event LIMIT 1;

-- name: add_account
-- Add a source and pixel; no row if another transaction has just added them.
WITH new AS (
  INSERT INTO account (source, pixel, since) VALUES (:source, :pixel, :since)
  ON CONFLICT DO NOTHING RETURNING id)
SELECT id FROM new UNION ALL SELECT id FROM account WHERE source = :source AND pixel = :pixel LIMIT 1;

-- name: take_keys
-- Claim free keys, and lock the others. Each key occurs once, in sorted order, which prevents
-- deadlocks.
INSERT INTO dedup (key, delivery, at)
SELECT unnest(:keys::uuid[]) AS key, unnest(:deliveries::bigint[]) AS delivery,
  unnest(:ats::bigint[]) AS at ORDER BY key
ON CONFLICT (key) DO UPDATE SET delivery = excluded.delivery WHERE false
RETURNING key;

-- name: take_first_keys
-- Claim keys as `take_keys` does, in the first statement of a transaction.
WITH begun AS (begin)
INSERT INTO dedup (key, delivery, at)
SELECT unnest(:keys::uuid[]) AS key, unnest(:deliveries::bigint[]) AS delivery,
  unnest(:ats::bigint[]) AS at ORDER BY key
ON CONFLICT (key) DO UPDATE SET delivery = excluded.delivery WHERE false
RETURNING key;

-- name: holdings
-- The holders of keys, with the time of receipt and the state in the outbox.
SELECT dedup.key, dedup.delivery, dedup.at, outbox.state
FROM dedup LEFT JOIN outbox ON outbox.id = dedup.delivery WHERE dedup.key = ANY (:keys::uuid[]);

-- name: lock_keys
-- The holders of keys, locked so that no other transaction claims the keys meanwhile.
SELECT key, delivery FROM dedup WHERE key = ANY (:keys::uuid[]) ORDER BY key FOR UPDATE;

-- name: hand_over_keys
-- Assign keys to other deliveries; the keys are locked.
UPDATE dedup SET delivery = taken.delivery, at = taken.at
FROM unnest(:keys::uuid[], :deliveries::bigint[], :ats::bigint[]) AS taken (key, delivery, at)
WHERE dedup.key = taken.key;

-- name: holder
-- See the shared statement. The delivery is locked, so it cannot be claimed or settled meanwhile.
SELECT conversion.body, consent.evidence, waiting.cause, waiting.reason,
  conversion.suppressed IS NOT NULL OR discarded.delivery IS NOT NULL AS is_suppressed,
  submission.received_at, waiting.state, waiting.ambiguous_since IS NOT NULL AS is_ambiguous
FROM conversion JOIN submission ON submission.id = conversion.submission
LEFT JOIN (SELECT * FROM outbox WHERE id = :delivery FOR UPDATE) AS waiting
  ON waiting.id = conversion.id
LEFT JOIN consent ON consent.delivery = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id = :delivery;

-- name: add_replaced
-- Record that a later copy has the key of a delivery.
INSERT INTO replaced (delivery, by) VALUES (:delivery, :by)
ON CONFLICT (delivery) DO UPDATE SET by = excluded.by;

-- name: show_replaced
-- List the delivery under its former key.
INSERT INTO suppression (key, delivery) VALUES (:key, :delivery) ON CONFLICT DO NOTHING;

-- name: deny
-- Record that a delivery in flight must not be retried. `holder` has locked it.
INSERT INTO denied (delivery, at, reason, cause)
SELECT id, :now, :reason, :cause FROM outbox WHERE id = :delivery AND state = 'sending'
ON CONFLICT DO NOTHING;

-- name: count_repeats
-- Count duplicates, once for each time that a delivery is listed.
INSERT INTO repeated (delivery, times)
SELECT value, count(*) FROM unnest(translate(:deliveries, '[]', '{}')::bigint[]) AS value
GROUP BY value ORDER BY value
ON CONFLICT (delivery) DO UPDATE SET times = repeated.times + excluded.times;

-- name: count_ignored
-- Count ignored items, under :other if a day has too many names.
INSERT INTO ignored (day, source, endpoint, name, reason, times)
VALUES (:day, :source, :endpoint, CASE
  WHEN EXISTS (
    SELECT 1 FROM ignored WHERE day = :day AND source = :source AND endpoint = :endpoint
      AND name = :called AND reason = :reason)
    OR (SELECT count(*) FROM ignored WHERE day = :day AND source = :source) < :most
  THEN :called ELSE :other END, :reason, :times)
ON CONFLICT (day, source, endpoint, name, reason) DO UPDATE SET times = ignored.times + excluded.times;

-- name: empty_refused_rows
-- Erase the refused rows that the last run of a sync shows, or a page of its waiting results.
UPDATE sync_state
SET state = jsonb_set(
  jsonb_set(state::jsonb, '{last_run,refused}', '[]', false), '{waiting}', '[]', false)::text
WHERE name = :of;

-- name: put_ignored
-- Add a count of ignored items to the row of the same name.
INSERT INTO ignored (day, source, endpoint, name, reason, times)
VALUES (:day, :source, :endpoint, :called, :reason, :times)
ON CONFLICT (day, source, endpoint, name, reason) DO UPDATE SET times = ignored.times + excluded.times;

-- name: know
-- Store what events say about visitors.
INSERT INTO known_identifier AS known (key, mark, kind, value, whose, at, seen_at, origin)
SELECT fact ->> 0, fact ->> 1, fact ->> 2, fact ->> 3, fact ->> 4, (fact ->> 5)::bigint,
  (fact ->> 6)::bigint, fact ->> 7
FROM json_array_elements(:facts::json) AS fact
ORDER BY 1, 2
ON CONFLICT (key, mark) DO UPDATE
SET seen_at = greatest(known.seen_at, excluded.seen_at), at = least(known.at, excluded.at),
  origin = CASE WHEN excluded.at < known.at THEN excluded.origin ELSE known.origin END;

-- name: fill_known
-- Write noise to the places of erased rows.
INSERT INTO known_identifier (key, mark, kind, value, whose, at, seen_at, origin)
SELECT md5(random()::text), left(md5(random()::text), 24), 'erased',
  repeat(md5(random()::text), :length::bigint::integer), '', 0, 0, ''
FROM generate_series(1, :rows::bigint);

-- name: forget_filled_known
-- Delete this noise.
DELETE FROM known_identifier WHERE kind = 'erased';

-- name: forget_idempotency_keys
-- Delete the oldest idempotency keys, a few at a time.
DELETE FROM idempotency_key WHERE id IN (
  SELECT id FROM idempotency_key WHERE at < :before ORDER BY at LIMIT 8 FOR UPDATE SKIP LOCKED);

-- name: forget_dedup_report
-- Delete the oldest entries of the deduplication report.
DELETE FROM dedup_report WHERE id IN (
  SELECT id FROM dedup_report WHERE at < :before ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: promote
-- Make postponed deliveries ready when they are due.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at <= :now
  ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING id, attempts;

-- name: promote_far
-- Make deliveries ready whose due time is too far ahead, because another clock set it. Those that were
-- never tried may wait for identifiers, for up to 6 hours.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at > :furthest
    AND (attempts > 0 OR due_at > :furthest + 21600000)
  LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING id, attempts;

-- name: claim_usual
-- Begin a transaction, and claim the ready deliveries of one event, if nothing about them is unusual.
-- Nothing is claimed if the node does not own the account (see check_owner), if its ownership is
-- changing, or if deliveries are due that `promote` must make ready first. The statement never waits
-- for a lock, because it would not see pauses and opt-outs that were committed during the wait.
-- `starts` has the rank and the id behind which the search of an event begins. `ctid` is the place
-- of a row: the row is locked, so it stays there.
WITH begun AS (begin),
next AS MATERIALIZED (SELECT nextval('lease_number') AS lease),
owner AS MATERIALIZED (
  SELECT FROM ownership JOIN node ON node.id = ownership.node
  WHERE ownership.account = :account AND node.id = :node AND NOT EXISTS (
    SELECT FROM pause WHERE pixel = :pixel AND event = '' AND cause = 'user')
  FOR SHARE OF ownership SKIP LOCKED FOR KEY SHARE OF node SKIP LOCKED),
may AS MATERIALIZED (SELECT :node::bigint = 0 OR EXISTS (SELECT FROM owner) AS claim),
due AS MATERIALIZED (
  SELECT EXISTS (
    SELECT FROM outbox WHERE state = 'queued' AND due_at IS NOT NULL AND due_at <= :now) AS is_due),
first AS MATERIALIZED (
  SELECT queue.id, queue.event
  FROM queue JOIN outbox ON outbox.id = (
    SELECT oldest.id FROM outbox AS oldest
    WHERE oldest.queue = queue.id AND oldest.state = 'queued' AND oldest.due_at IS NULL
      AND (oldest.ambiguous_since IS NULL OR oldest.ambiguous_since >= :ambiguous_after)
      AND oldest.crashes < :crashes
      AND oldest.id <> ALL (:passing::bigint[])
      AND (oldest.rank, oldest.id) > (
        coalesce((:starts::json -> queue.id::text ->> 0)::bigint, -9007199254740992),
        coalesce((:starts::json -> queue.id::text ->> 1)::bigint, 0))
    ORDER BY oldest.rank, oldest.id LIMIT 1)
  WHERE queue.pixel = :pixel AND queue.event <> ALL (:passing_events::text[])
    AND (SELECT claim FROM may) AND NOT (SELECT is_due FROM due)
  ORDER BY outbox.rank, outbox.id LIMIT 1),
claimed AS (
  UPDATE outbox SET state = 'sending', lease = (SELECT lease FROM next)
  WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM outbox
      WHERE queue = (SELECT id FROM first) AND state = 'queued' AND due_at IS NULL
        AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
        AND crashes < :crashes
        AND id <> ALL (:passing::bigint[])
        AND (rank, id) > (
          coalesce((:starts::json -> (SELECT id::text FROM first) ->> 0)::bigint, -9007199254740992),
          coalesce((:starts::json -> (SELECT id::text FROM first) ->> 1)::bigint, 0))
      ORDER BY rank, id
      LIMIT least(:limit::bigint, (:limits::json ->> (SELECT event FROM first))::bigint)
      FOR UPDATE SKIP LOCKED))
    AND state = 'queued'
  RETURNING id, rank, received_at, attempts, ambiguous_since, crashes),
leased AS (
  INSERT INTO lease (id, node, queue, claimed_at, until, open, deliveries)
  SELECT (SELECT lease FROM next), :node, (SELECT id FROM first), :now, :until, count(*),
    '[' || string_agg(id::text, ',') || ']'
  FROM claimed HAVING count(*) > 0),
read AS (
  SELECT claimed.*, conversion.conversion_id, length(conversion.body) AS size,
    conversion.checksum, conversion.body
  FROM claimed LEFT JOIN conversion ON conversion.id = claimed.id
  ORDER BY claimed.rank, claimed.id)
SELECT (SELECT id FROM begun), (SELECT claim FROM may), (SELECT is_due FROM due),
  (SELECT id FROM first), (SELECT event FROM first), (SELECT lease FROM next),
  (SELECT version FROM change WHERE what = 'opt_out'),
  coalesce(string_agg(body, ','::bytea), ''::bytea),
  array_agg(id), array_agg(conversion_id), array_agg(size), array_agg(received_at),
  array_agg(checksum), (json_agg(json_build_array(id, attempts, ambiguous_since, crashes))
    FILTER (WHERE attempts > 0 OR crashes > 0 OR ambiguous_since IS NOT NULL))::text
FROM read;

-- name: settle_delivered
-- Begin a transaction, and settle deliveries that X has accepted: see remove_delivered. The mark of
-- the transaction is also the id of the attempt. The lease is locked before its deliveries. These are
-- locked in the order of pages: after a deadlock, the settlement is run again.
WITH begun AS (begin),
held AS MATERIALIZED (SELECT id FROM lease WHERE id = :lease FOR UPDATE),
removed AS (
  DELETE FROM outbox
  WHERE id = ANY (:deliveries::bigint[]) AND (SELECT count(*) FROM held) >= 0
    AND (lease = :lease OR state <> 'sending')
  RETURNING account, received_at),
attempted AS (
  INSERT INTO attempted (delivery, attempt)
  SELECT delivery, (SELECT id FROM begun) FROM unnest(:deliveries::bigint[]) AS delivery),
attempt AS (
  INSERT INTO attempt (id, at, queue, outcome, status, answer, ambiguous, size)
  SELECT id, :at, :event, :outcome, :status, :answer, :ambiguous, :size FROM begun),
ended AS (DELETE FROM lease WHERE id = :lease AND open <= (SELECT count(*) FROM removed)),
extended AS (
  UPDATE lease SET open = open - (SELECT count(*) FROM removed), until = :until
  WHERE id = :lease AND open > (SELECT count(*) FROM removed)),
received AS (
  SELECT account, received_at, count(*) AS deliveries FROM removed GROUP BY account, received_at)
SELECT (SELECT id FROM begun), array_agg(account), array_agg(received_at), array_agg(deliveries)
FROM received;

-- name: ready_sizes
-- The sizes of the ready deliveries of a queue in bytes. They are locked; deliveries that another
-- transaction moves are skipped.
SELECT coalesce(json_agg(size), '[]')::text
FROM (
  SELECT coalesce(length(conversion.body), 0) AS size
  FROM (
    SELECT id, rank FROM outbox
    WHERE queue = :queue AND state = 'queued' AND due_at IS NULL
      AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
      AND crashes < :crashes
      AND id <> ALL (translate(:passing, '[]', '{}')::bigint[])
    ORDER BY rank, id LIMIT :limit FOR UPDATE SKIP LOCKED) AS ready
  LEFT JOIN conversion ON conversion.id = ready.id
  ORDER BY ready.rank, ready.id) AS sizes;

-- name: queue_to_claim
-- The queue of a pixel whose first ready delivery has the earliest deadline.
SELECT queue.id, queue.event
FROM queue JOIN outbox ON outbox.id = (
  SELECT oldest.id FROM outbox AS oldest
  WHERE oldest.queue = queue.id AND oldest.state = 'queued' AND oldest.due_at IS NULL
    AND (oldest.ambiguous_since IS NULL OR oldest.ambiguous_since >= :ambiguous_after)
    AND oldest.crashes < :crashes
    AND oldest.id <> ALL (translate(:passing, '[]', '{}')::bigint[])
  ORDER BY oldest.rank, oldest.id LIMIT 1)
WHERE queue.pixel = :pixel
  AND queue.event NOT IN (SELECT json_array_elements_text(:passing_events::json))
ORDER BY outbox.rank, outbox.id LIMIT 1;

-- name: claimable
-- The ready deliveries of a queue, earliest deadline first, as one row; locked.
SELECT
  json_build_array(
    coalesce(json_agg(id), '[]'), coalesce(json_agg(conversion_id), '[]'),
    coalesce(json_agg(size), '[]'), coalesce(json_agg(received_at), '[]'),
    coalesce(json_agg(checksum), '[]'),
    coalesce(json_agg(json_build_array(id, attempts, ambiguous_since, crashes))
      FILTER (WHERE attempts > 0 OR crashes > 0 OR ambiguous_since IS NOT NULL), '[]'))::text,
  string_agg(body, ','::bytea)
FROM (
  SELECT ready.*, conversion.conversion_id, length(conversion.body) AS size, conversion.checksum,
    conversion.body
  FROM (
    SELECT id, rank, received_at, attempts, ambiguous_since, crashes FROM outbox
    WHERE queue = :queue AND state = 'queued' AND due_at IS NULL
      AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
      AND crashes < :crashes
      AND id <> ALL (translate(:passing, '[]', '{}')::bigint[])
    ORDER BY rank, id LIMIT :limit FOR UPDATE SKIP LOCKED) AS ready
  JOIN conversion ON conversion.id = ready.id
  ORDER BY ready.rank, ready.id) AS claimed;

-- name: ready_ids
-- The ids of the ready deliveries of a queue, with or without a conversion; locked.
SELECT id FROM outbox
WHERE queue = :queue AND state = 'queued' AND due_at IS NULL
  AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
  AND crashes < :crashes
  AND id <> ALL (translate(:passing, '[]', '{}')::bigint[])
ORDER BY rank, id
LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: next_lease
-- A new fencing token.
SELECT nextval('lease_number');

-- name: add_lease
-- Add the lease of a claim.
INSERT INTO lease (id, node, queue, claimed_at, until, open, deliveries)
VALUES (:lease, :node, :queue, :claimed_at, :until, :open, :deliveries);

-- name: lock_lease
-- Order a settlement and an expiry of the same lease one after the other.
SELECT id FROM lease WHERE id = :lease FOR UPDATE;

-- name: sent_elsewhere
-- Those of these deliveries that are under another lease.
SELECT id FROM outbox
WHERE id = ANY (:deliveries::bigint[]) AND state = 'sending' AND lease <> :lease;

-- name: lock_deliveries
-- Lock deliveries in the order of their ids, as all statements do.
SELECT count(*) FROM (
  SELECT id FROM outbox WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  ORDER BY id FOR UPDATE) AS locked;

-- name: lapsed_leases
-- Expired leases of this node, and leases that end later than allowed, except those that are being
-- settled.
SELECT id, queue, claimed_at, deliveries FROM lease
WHERE node = :node AND (until < :now OR until > :furthest) ORDER BY id FOR UPDATE SKIP LOCKED;

-- name: leases_of_dead_nodes
-- Some leases of nodes that no longer exist.
SELECT id, queue, claimed_at, deliveries FROM lease
WHERE NOT EXISTS (SELECT FROM node WHERE node.id = lease.node)
ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED;

-- name: still_under
-- The deliveries that are still under a lease, as JSON; locked.
SELECT coalesce(json_agg(id), '[]')::text, count(*) FROM (
  SELECT id FROM outbox
  WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND lease = :lease
    AND state = 'sending'
  ORDER BY id FOR UPDATE) AS locked;

-- name: add_attempted
-- Add the deliveries of a request.
INSERT INTO attempted (delivery, attempt)
SELECT value, :attempt FROM unnest(translate(:deliveries, '[]', '{}')::bigint[]) AS value
ON CONFLICT DO NOTHING;

-- name: taken_of
-- The times of receipt of delivered deliveries, as JSON by account: those under a lease, and those
-- that a fenced node had sent and no other has claimed since. See remove_delivered.
SELECT account, json_agg(received_at)::text FROM outbox
WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  AND (lease = :lease OR state <> 'sending')
GROUP BY account;

-- name: remove_delivered
-- Remove deliveries that X has accepted. Their node may have been fenced before it could record
-- that: they must not be sent again, even if they are held or dead since then.
DELETE FROM outbox
WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  AND (lease = :lease OR state <> 'sending');

-- name: count_crashes
-- Count a sender crash with deliveries; 2 and 5 are SUSPECT and QUARANTINED of
-- twite.domain.delivery.
UPDATE outbox
SET crashes = CASE
    WHEN :alone THEN greatest(crashes, 2) + 1
    ELSE least(crashes + 1, greatest(crashes, 2)) END
WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND lease = :lease
  AND state = 'sending';

-- name: quarantined
-- The deliveries of a lease with too many crashes of the sender, as JSON.
SELECT coalesce(json_agg(id), '[]')::text, count(*) FROM outbox
WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND lease = :lease
  AND state = 'sending' AND crashes >= :limit;

-- name: hold_ambiguous
-- Hold ambiguous deliveries that could count twice if they were sent again.
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL AND ambiguous_since < :before
  LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: hold_cautious
-- Hold ambiguous deliveries of cautious pixels.
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT outbox.id FROM outbox JOIN queue ON queue.id = outbox.queue
  WHERE outbox.state = 'queued' AND outbox.ambiguous_since IS NOT NULL
    AND queue.pixel IN (SELECT json_array_elements_text(:pixels::json))
  LIMIT :limit FOR UPDATE OF outbox SKIP LOCKED);

-- name: hold_ready
-- Hold ready deliveries of one queue that waited too long.
UPDATE outbox SET state = 'held', cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE queue = :queue AND state = 'queued' AND due_at IS NULL AND rank < :before
    AND received_at < :before AND (replayed_at IS NULL OR replayed_at < :before)
  LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: hold_waiting
-- Hold postponed deliveries that waited too long.
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'queued' AND due_at IS NOT NULL AND received_at < :before
    AND (replayed_at IS NULL OR replayed_at < :before)
  LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: timed
-- The latest recorded time, the last written time, and the offset of X's clock from it.
SELECT
  greatest(coalesce((SELECT max(at) FROM attempt), 0),
    coalesce((SELECT received_at FROM submission ORDER BY id DESC LIMIT 1), 0)),
  greatest(coalesce((SELECT at FROM attempt ORDER BY id DESC LIMIT 1), 0),
    coalesce((SELECT received_at FROM submission ORDER BY id DESC LIMIT 1), 0)),
  (SELECT ahead FROM deployment);

-- name: hold_in_doubt
-- Hold dead letters that may not be at fault.
UPDATE outbox SET state = 'held', cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND state = 'dead'
  ORDER BY id FOR UPDATE);

-- name: recall
-- Requeue deliveries that were held for a cause, each once.
UPDATE outbox
SET state = 'queued', due_at = NULL, replayed_at = :now, rested_at = NULL, cause = NULL,
    reason = NULL
WHERE id IN (
  SELECT id FROM outbox
  WHERE state IN ('held', 'dead') AND state = 'held' AND queue = :queue AND replayed_at IS NULL
    AND cause = :cause
  ORDER BY id FOR UPDATE);

-- name: replay
-- Requeue deliveries at a user's request. If the user is sure, they are no longer ambiguous. With too
-- many crashes of the sender (2 is SUSPECT), they are sent alone.
-- Without a recorded attempt, a delivery is ambiguous since its receipt.
UPDATE outbox
SET state = 'queued', due_at = NULL, replayed_at = :now, rested_at = NULL, cause = NULL,
    reason = NULL,
    crashes = least(crashes, 2),
    ambiguous_since = CASE
      WHEN id = ANY (translate(:sure, '[]', '{}')::bigint[]) THEN NULL
      WHEN cause IN (SELECT json_array_elements_text(:maybe_sent::json))
        THEN coalesce(ambiguous_since, received_at)
      ELSE ambiguous_since END
WHERE id IN (
  SELECT id FROM outbox
  WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND state IN ('held', 'dead')
  ORDER BY id FOR UPDATE);

-- name: count_discarded
-- Add dead and held deliveries to the suppressed counts of their accounts. Others are locked, too:
-- a delivery that is not counted here must not become dead or held before the next statement
-- removes such deliveries.
WITH listed AS MATERIALIZED (
  SELECT account, state, resting FROM outbox WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  ORDER BY id FOR UPDATE)
INSERT INTO tally AS known (account, slot, suppressed)
  SELECT account, :slot, count(*) FROM listed WHERE state IN ('held', 'dead')
  GROUP BY account ORDER BY account
ON CONFLICT (account, slot) DO UPDATE SET suppressed = known.suppressed + excluded.suppressed;

-- name: count_withdrawn
-- Add deliveries that are not in flight to the suppressed counts of their accounts. Others are
-- locked, too: they must not be queued before the next statement removes queued deliveries.
WITH listed AS MATERIALIZED (
  SELECT account, state, resting FROM outbox WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  ORDER BY id FOR UPDATE)
INSERT INTO tally AS known (account, slot, suppressed)
  SELECT account, :slot, count(*) FROM listed WHERE state IN ('queued', 'held', 'dead')
  GROUP BY account ORDER BY account
ON CONFLICT (account, slot) DO UPDATE SET suppressed = known.suppressed + excluded.suppressed;

-- name: hold_queued
-- Hold queued deliveries for a user.
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND state = 'queued'
  ORDER BY id FOR UPDATE);

-- name: to_amend
-- A dead or held conversion before its edit; locked.
SELECT conversion.queue, queue.pixel, queue.event, conversion.conversion_id, outbox.received_at,
  conversion.body
FROM outbox JOIN conversion ON conversion.id = outbox.id JOIN queue ON queue.id = conversion.queue
WHERE outbox.id = :delivery AND outbox.state IN ('held', 'dead') FOR UPDATE OF outbox;

-- name: outbox_after
-- See the shared statement. Locked, so that the next statement reads payloads that no erasure is removing.
SELECT count(*), max(id) FROM (
  SELECT id FROM outbox WHERE id > :after ORDER BY id LIMIT :limit FOR UPDATE) AS looked;

-- name: note_amended
-- Store the former conversion.
INSERT INTO amended (delivery, at, queue, body, note) VALUES (:delivery, :at, :queue, :body, :note)
ON CONFLICT (delivery, at) DO UPDATE SET queue = excluded.queue, body = excluded.body,
  note = excluded.note;

-- name: to_erase
-- The conversions to erase, as stored; deliveries in the outbox are locked.
SELECT conversion.id, conversion.queue, queue.pixel, queue.event, conversion.conversion_id,
  submission.received_at, length(conversion.body) AS size, waiting.state
FROM conversion
JOIN queue ON queue.id = conversion.queue
JOIN submission ON submission.id = conversion.submission
LEFT JOIN (
  SELECT id, state FROM outbox WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  ORDER BY id FOR UPDATE) AS waiting ON waiting.id = conversion.id
WHERE conversion.id = ANY (translate(:deliveries, '[]', '{}')::bigint[]);

-- name: deliveries_of_keys
-- The holder of each key.
SELECT place, dedup.delivery
FROM (
  SELECT value AS place, encode(substring(:keys::bytea FROM value * 16 + 1 FOR 16), 'hex')::uuid AS key
  FROM unnest(translate(:places, '[]', '{}')::int[]) AS value) AS entry
LEFT JOIN dedup ON dedup.key = entry.key
ORDER BY place;

-- name: copies_of_keys
-- The other deliveries of each key, the latest first: suppressed, or superseded by a later copy.
SELECT place, suppression.delivery
FROM (
  SELECT value AS place, substring(:keys::bytea FROM value * 16 + 1 FOR 16) AS key
  FROM unnest(translate(:places, '[]', '{}')::int[]) AS value) AS entry
JOIN suppression ON suppression.key = entry.key
ORDER BY place, suppression.delivery DESC LIMIT :limit;

-- name: accounts
-- The counts of all accounts, plus the deliveries in the outbox. One statement reads one snapshot.
SELECT account.source, account.pixel,
  coalesce(counted.received, 0) AS received, coalesce(counted.delivered, 0) AS delivered,
  coalesce(counted.duplicate, 0) AS duplicate, coalesce(counted.suppressed, 0) AS suppressed,
  coalesce(counted.rejected, 0) AS rejected, coalesce(live.dead, 0) AS dead,
  coalesce(live.held, 0) AS held, coalesce(live.pending, 0) AS pending
FROM account LEFT JOIN (
  SELECT account, sum(received)::bigint AS received, sum(delivered)::bigint AS delivered,
    sum(duplicate)::bigint AS duplicate, sum(suppressed)::bigint AS suppressed,
    sum(rejected)::bigint AS rejected
  FROM tally GROUP BY account) AS counted ON counted.account = account.id
LEFT JOIN (
  SELECT account,
    count(*) FILTER (WHERE state = 'dead') AS dead,
    count(*) FILTER (WHERE state = 'held') AS held,
    count(*) FILTER (WHERE state IN ('queued', 'sending')) AS pending
  FROM outbox GROUP BY account) AS live ON live.account = account.id
ORDER BY account.source, account.pixel;

-- name: undelivered_since
-- Of the deliveries received since a time, by pixel: the dead letters, and all that X did not get.
SELECT queue.pixel, count(CASE WHEN counted.state = 'dead' THEN 1 END), count(*) FROM (
  SELECT queue, state FROM outbox WHERE received_at >= :since
  UNION ALL
  SELECT conversion.queue, 'discarded' FROM discarded
  JOIN conversion ON conversion.id = discarded.delivery
  JOIN submission ON submission.id = conversion.submission
  WHERE discarded.delivery >= :floor AND submission.received_at >= :since
) AS counted JOIN queue ON queue.id = counted.queue GROUP BY queue.pixel;

-- name: backlog
-- The pending deliveries, by pixel and hour of rank.
SELECT queue.pixel, rank / :hour AS hour, count(*), min(rank), min(received_at)
FROM outbox JOIN queue ON queue.id = outbox.queue
WHERE state IN ('queued', 'sending') GROUP BY queue.pixel, hour ORDER BY queue.pixel, hour;

-- name: rejected_so_far
-- The total number of rejections of an account.
SELECT coalesce(sum(rejected), 0)::bigint FROM tally WHERE account = :account;

-- name: flaws
-- Flaws of match keys, by event; the shape is that of the latest conversion, or of the latest day if all were rejected.
SELECT account.pixel, coalesce(queue.event, ''), flaw.code, sum(flaw.times)::bigint AS times,
  sum(flaw.rejected)::bigint AS rejected, sum(flaw.wins)::bigint,
  (array_agg(flaw.shape ORDER BY coalesce(flaw.delivery, flaw.day - 1000000) DESC))[1], max(flaw.delivery)
FROM flaw JOIN account ON account.id = flaw.account LEFT JOIN queue ON queue.id = flaw.queue
WHERE flaw.day >= :since
  AND (:pixels::text IS NULL OR account.pixel IN (SELECT json_array_elements_text(:pixels::json)))
  AND (:source::text IS NULL OR account.source = :source)
GROUP BY account.pixel, queue.event, flaw.code ORDER BY sum(flaw.times + flaw.rejected) DESC, 1, 2, 3;

-- name: keep_stragglers
-- Add conversions that are not settled when they are due for pruning, to check them again.
INSERT INTO straggler (delivery)
SELECT id FROM outbox WHERE id >= :first AND id < :end ON CONFLICT DO NOTHING;

-- name: rested_long
-- Dead and held deliveries without a user's decision.
SELECT coalesce(json_agg(id), '[]')::text, count(*) FROM (
  SELECT id FROM outbox
  WHERE state IN ('held', 'dead') AND rested_at < :before ORDER BY rested_at LIMIT :limit) AS old;

-- name: begin_session
-- Add a session, if the user's credentials are unchanged.
INSERT INTO session (digest, "user", begun_at, seen_at, address, agent)
SELECT :digest, :user, :begun_at, :seen_at, :address, :agent WHERE EXISTS (
  SELECT 1 FROM "user"
  WHERE name = :user AND password = :password AND code_since IS NOT DISTINCT FROM :code_since);

-- name: payload_heads
-- The beginnings of sealed tag payloads in base64, and the number of payloads with each.
SELECT head, count(*) FROM (
  SELECT substring(encode(conversion.body, 'escape') FROM '"sealed": *"([^"]{8})') AS head
  FROM queue JOIN outbox ON outbox.queue = queue.id JOIN conversion ON conversion.id = outbox.id
  WHERE queue.pixel >= :first AND queue.pixel < :beyond) AS sealed
WHERE head IS NOT NULL GROUP BY head;

-- name: amended_after
-- Edits by delivery. A delivery with many edits is one row.
SELECT delivery, string_agg(convert_to(note || ' ', 'UTF8') || body, ' '::bytea) FROM amended
WHERE delivery > :after GROUP BY delivery ORDER BY delivery LIMIT :limit;

-- name: index_anew
-- Nothing to do: VACUUM removes the remains of erased rows and their index entries.
SELECT 1;

-- name: id_pairs
-- The orders with two ids that `dedup_report` counts, the latest first, each with one other id.
WITH
  seen AS MATERIALIZED (
    SELECT
      queue, conversion_id, min(at) AS first_at, bool_or(path IN ('page', 'blocked', 'pixel')) AS page,
      bool_or(path = 'server') AS server, max(email_mark) AS email_mark,
      max(phone_mark) AS phone_mark, max(click_mark) AS click_mark
    FROM dedup_report WHERE at >= :since - :meets_within::bigint
    GROUP BY queue, conversion_id),
  marked AS MATERIALIZED (
    SELECT queue, conversion_id, first_at, server, mark.kind, mark.mark
    FROM seen CROSS JOIN LATERAL (
      VALUES ('email', email_mark), ('phone', phone_mark), ('click', click_mark)) AS mark (kind, mark)
    WHERE mark.mark IS NOT NULL AND server <> page),
  near_by AS MATERIALIZED (
    SELECT queue, kind, mark, first_at / :meets_within + near AS span, min(first_at) AS server_at,
      (array_agg(conversion_id ORDER BY first_at, conversion_id))[1] AS server_id
    FROM marked CROSS JOIN generate_series(-1, 1) AS near WHERE server GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT queue, kind, mark, first_at / :meets_within + near, max(first_at),
      (array_agg(conversion_id ORDER BY first_at DESC, conversion_id))[1]
    FROM marked CROSS JOIN generate_series(-1, 1) AS near WHERE server GROUP BY 1, 2, 3, 4),
  paired AS MATERIALIZED (
    SELECT DISTINCT ON (marked.queue, marked.conversion_id)
      marked.queue, marked.conversion_id AS page_id, server_id, first_at
    FROM marked JOIN near_by
      ON near_by.queue = marked.queue AND near_by.kind = marked.kind AND near_by.mark = marked.mark
      AND near_by.span = marked.first_at / :meets_within
    WHERE NOT marked.server AND first_at >= :since AND abs(server_at - first_at) <= :meets_within
    ORDER BY marked.queue, marked.conversion_id, abs(server_at - first_at), server_id)
SELECT queue.pixel, queue.event, page_id, server_id, first_at
FROM paired JOIN queue ON queue.id = paired.queue
WHERE :pixels::text IS NULL OR queue.pixel IN (SELECT json_array_elements_text(:pixels::json))
ORDER BY first_at DESC, page_id LIMIT :limit;

-- name: dedup_report
-- The paths of conversion ids, by event and day. A page's id without a server's and a server's id
-- without a page's belong to one order if they have an equal mark.
WITH
  seen AS MATERIALIZED (
    SELECT
      queue, conversion_id, min(at) AS first_at,
      min(at) FILTER (WHERE path = 'pixel') AS pixel_first,
      max(at) FILTER (WHERE path = 'pixel') AS pixel_last,
      min(at) FILTER (WHERE path IN ('page', 'server')) AS gateway_first,
      bool_or(path = 'blocked') AS blocked, bool_or(path = 'page') AS page,
      bool_or(path = 'server') AS server, max(email_mark) AS email_mark,
      max(phone_mark) AS phone_mark, max(click_mark) AS click_mark
    FROM dedup_report WHERE at >= :since - :meets_within::bigint
    GROUP BY queue, conversion_id),
  marked AS MATERIALIZED (
    SELECT queue, conversion_id, first_at, server, mark.kind, mark.mark
    FROM seen CROSS JOIN LATERAL (
      VALUES ('email', email_mark), ('phone', phone_mark), ('click', click_mark)) AS mark (kind, mark)
    WHERE mark.mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)),
  -- Spans of 48 hours, also joined with their neighbors: one row per span, however many rows share a mark.
  by_server AS MATERIALIZED (
    SELECT queue, kind, mark, first_at / :meets_within + near AS span, min(first_at) AS earliest,
      max(first_at) AS latest
    FROM marked CROSS JOIN generate_series(-1, 1) AS near
    WHERE server GROUP BY 1, 2, 3, 4),
  twice AS MATERIALIZED (
    SELECT DISTINCT marked.queue, marked.conversion_id
    FROM marked JOIN by_server
      ON by_server.queue = marked.queue AND by_server.kind = marked.kind
      AND by_server.mark = marked.mark AND by_server.span = marked.first_at / :meets_within
    WHERE NOT marked.server AND by_server.earliest <= marked.first_at + :meets_within
      AND by_server.latest >= marked.first_at - :meets_within)
SELECT
  queue.pixel, queue.event, first_at / :day AS day,
  count(*) FILTER (WHERE pixel_first IS NOT NULL AND gateway_first IS NOT NULL),
  count(*) FILTER (WHERE pixel_first IS NOT NULL AND gateway_first IS NULL),
  count(*) FILTER (WHERE pixel_first IS NULL AND gateway_first IS NOT NULL),
  count(*) FILTER (WHERE blocked), count(*) FILTER (WHERE page AND server), count(twice.queue),
  count(*) FILTER (
    WHERE pixel_last - gateway_first > :meets_within OR gateway_first - pixel_first > :meets_within)
FROM seen
JOIN queue ON queue.id = seen.queue
LEFT JOIN twice ON twice.queue = seen.queue AND twice.conversion_id = seen.conversion_id
WHERE first_at >= :since
GROUP BY queue.pixel, queue.event, day
ORDER BY queue.pixel, queue.event, day;

-- name: join_nodes
-- Add a gateway; its id is its fencing token.
INSERT INTO node (name, version, accounts, longest_request, until)
VALUES (:name, :version, :accounts, :longest_request,
  clock_timestamp() + make_interval(secs => :lease::float8))
RETURNING id;

-- name: know_accounts
-- Store the accounts in this gateway's settings.
UPDATE node SET accounts = :accounts, longest_request = :longest_request WHERE id = :node;

-- name: conversions_to_overwrite
-- Erased rows with their bodies; locked.
SELECT id, body FROM conversion WHERE id = ANY (:ids::bigint[]) ORDER BY id FOR UPDATE;

-- name: fill_conversions
-- Write row versions that contain only noise, of the length of the body at most.
UPDATE conversion SET body = substr(:noise::bytea, 1, length(body)) WHERE id = ANY (:ids::bigint[]);

-- name: restore_conversions
-- Write the body again.
UPDATE conversion SET body = :body WHERE id = :id;

-- name: submissions_to_overwrite
-- Erased rows with their bodies; locked.
SELECT id, body FROM submission WHERE id = ANY (:ids::bigint[]) ORDER BY id FOR UPDATE;

-- name: fill_submissions
-- Write row versions that contain only noise, of the length of the body at most.
UPDATE submission SET body = substr(:noise::bytea, 1, length(body)) WHERE id = ANY (:ids::bigint[]);

-- name: restore_submissions
-- Write the body again.
UPDATE submission SET body = :body WHERE id = :id;

-- name: write_dedup_report_again
-- Write other versions of erased entries of the deduplication report.
UPDATE dedup_report SET conversion_id = conversion_id WHERE id = ANY (:ids::bigint[]);

-- name: renew_node
-- Renew the lease. No row: the node was fenced.
UPDATE node SET until = clock_timestamp() + make_interval(secs => :lease::float8),
  conditions = :conditions
WHERE id = :node RETURNING id;

-- name: fence_nodes
-- Delete nodes whose last request has ended. This locks the same row as a renewal, so one of the
-- two has no effect. A node that stopped in the middle of a claim has locked its own row; the
-- server soon ends that transaction.
DELETE FROM node WHERE id IN (
  SELECT id FROM node
  WHERE until + make_interval(secs => longest_request / 1000.0 + :margin::float8)
    < clock_timestamp()
  ORDER BY id FOR UPDATE SKIP LOCKED);

-- name: busy_sessions
-- Sessions of this database in a transaction, the oldest first: the process id, and what it does. The log
-- leaves out what follows a bracket.
SELECT pid, concat_ws(', ', state || ' for '
    || round(extract(epoch FROM clock_timestamp() - xact_start)::numeric, 1) || ' s',
  'waits for ' || wait_event_type || ' ' || wait_event,
  'blocked by ' || nullif(array_to_string(pg_blocking_pids(pid), ' '), ''),
  'from ' || host(client_addr), 
  left(split_part(regexp_replace(query, '\s+', ' ', 'g'), '(', 1), 60))
FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
ORDER BY xact_start LIMIT 8;

-- name: next_fence
-- The seconds until the first of the nodes must be fenced if it does not renew its lease.
SELECT coalesce(extract(epoch FROM min(until + make_interval(secs => longest_request / 1000.0))
  - clock_timestamp())::float8, 3600) + :margin::float8
FROM node;

-- name: live_nodes
-- Nodes with a valid lease.
SELECT id, accounts, name, conditions FROM node WHERE until > clock_timestamp() ORDER BY id;

-- name: database_time
-- The database's clock, in seconds since 1970.
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: is_node_behind
-- Whether another live node has not renewed its lease since a time; `since` is the end of a lease
-- of that time.
SELECT EXISTS (SELECT FROM node
  WHERE id <> :node AND until > clock_timestamp() AND until <= to_timestamp(:since::float8));

-- name: lock_leader
-- Let one node at a time divide the accounts.
SELECT version FROM ownership WHERE account = '#leader' FOR UPDATE;

-- name: wait_briefly
-- Wait at most :within milliseconds for each lock of this transaction.
SELECT set_config('lock_timeout', :within::bigint::text, true);

-- name: take_accounts
-- Take accounts without an owner. Those of other nodes are not even locked, because their claims
-- lock them.
INSERT INTO ownership AS had (account, node, version)
SELECT account, :node, 1 FROM unnest(:accounts::text[]) AS account
WHERE NOT EXISTS (
  SELECT FROM ownership JOIN node ON node.id = ownership.node
  WHERE ownership.account = account.account)
ON CONFLICT (account) DO UPDATE SET node = excluded.node, version = had.version + 1
WHERE had.node IS NULL OR NOT EXISTS (SELECT FROM node WHERE node.id = had.node);

-- name: own_accounts
-- The accounts of this node.
SELECT account FROM ownership WHERE node = :node;

-- name: give_up_accounts
-- Release accounts for another node.
UPDATE ownership SET node = NULL, version = version + 1
WHERE node = :node AND account = ANY (:accounts::text[]);

-- name: leave_nodes
-- Delete the row of a gateway that stops cleanly.
DELETE FROM node WHERE id = :node;

-- name: check_owner
-- Order claims before or after a change of ownership and the end of the node.
SELECT ownership.version FROM ownership JOIN node ON node.id = ownership.node
WHERE ownership.account = :account AND node.id = :node
FOR SHARE OF ownership FOR KEY SHARE OF node;

-- name: check_pause
-- Whether a user has paused a pixel: then none of its deliveries is claimed. This follows
-- check_owner, so that a pause that another gateway committed during its wait applies.
SELECT EXISTS (SELECT FROM pause WHERE pixel = :pixel AND event = '' AND cause = 'user');
