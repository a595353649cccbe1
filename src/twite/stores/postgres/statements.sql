-- Statements that PostgreSQL needs in other words than SQLite, or has alone. Those with $1, $2 … add rows
-- given as columns; dialect.py combines them. Rows are locked in the order of their ids, and nobody
-- waits for a lock while another waits for theirs.

-- name: begin
-- A transaction has an id, and from it the ids of what it writes. The row is the proof that it was
-- committed. Another client of a pooler may have left synchronous_commit off. If this machine is cut off, the
-- server ends the transaction soon, and with it the locks.
WITH setting AS MATERIALIZED (
  SELECT set_config('synchronous_commit', 'on', true) AS value,
    set_config('idle_in_transaction_session_timeout', '15s', true))
INSERT INTO transaction_mark (id)
SELECT greatest(extract(epoch FROM clock_timestamp())::bigint - 1767225600, 0) << 23
  | ((nextval('id_group') & 4095) << 11)
FROM setting WHERE setting.value = 'on'
RETURNING id;

-- name: more_ids
-- A transaction that needs more ids than its group has.
SELECT greatest(extract(epoch FROM clock_timestamp())::bigint - 1767225600, 0) << 23
  | ((nextval('id_group') & 4095) << 11);

-- name: confirm
-- Fails where the transaction was committed, waits where it is being committed.
INSERT INTO transaction_mark (id) VALUES (:id) ON CONFLICT DO NOTHING RETURNING id;

-- name: forget_marks
-- Nobody asks for those of an hour ago any more.
DELETE FROM transaction_mark WHERE id IN (
  SELECT id FROM transaction_mark
  WHERE id < (extract(epoch FROM clock_timestamp())::bigint - 1767225600 - 3600) << 23
  LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: try_to_prune
-- One node prunes at a time.
SELECT pg_try_advisory_xact_lock(7459, 0);

-- name: next_keys
-- Dedup keys in their order.
SELECT key, delivery FROM dedup WHERE key > :after ORDER BY key LIMIT :limit;

-- name: forget_keys
-- Keys whose conversions are forgotten, unless others have taken them since the walk read them. Those
-- that are being taken are left for the next walk.
DELETE FROM dedup WHERE key IN (
  SELECT key FROM dedup WHERE key = ANY (:keys::uuid[]) AND delivery < :before
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = dedup.delivery)
  ORDER BY key FOR UPDATE SKIP LOCKED);

-- name: read_deployment
-- Who this deployment is, for what reads the salt.
SELECT salt, epoch, 1, 0, 1 FROM deployment;

-- name: schema_version
-- The version of the schema.
SELECT max(version) FROM schema_version;

-- name: change_version
-- Whether a copy is old.
SELECT version FROM change WHERE what = :what;

-- name: note_change
-- Copies are old from here on.
INSERT INTO change AS known (what, version) VALUES (:what, 1)
ON CONFLICT (what) DO UPDATE SET version = known.version + 1;

-- name: news
-- The versions of all copies, and the pixels with ready deliveries: one look at an index for each event.
SELECT (SELECT json_object_agg(what, version)::text FROM change),
  (SELECT coalesce(json_agg(DISTINCT lane.pixel), '[]')::text FROM lane
   WHERE lane.pixel = ANY (:pixels::text[])
     AND (lane.pixel, lane.event) NOT IN (
       SELECT * FROM unnest(:passing_pixels::text[], :passing_events::text[]))
     AND (SELECT true FROM outbox
          WHERE outbox.lane = lane.id AND state = 'queued' AND due_at IS NULL LIMIT 1));

-- name: lock_name
-- One request after another under the same name.
SELECT pg_advisory_xact_lock(7455, hashtext(name)) FROM unnest(:names::text[]) AS name ORDER BY name;

-- name: lock_directory
-- One change of users and keys after another.
SELECT pg_advisory_xact_lock(7456, 0);

-- name: lock_deeds
-- The hash of an entry is over the one before.
SELECT pg_advisory_xact_lock(7457, 0);

-- name: lock_rejections
-- One after another has a place in the ring of an account.
SELECT pg_advisory_xact_lock(7460, hashint8(:account));

-- name: lock_ring
-- All are written anew: nobody adds any meanwhile.
LOCK TABLE rejection IN SHARE ROW EXCLUSIVE MODE;

-- name: lock_ignored
-- All are written anew: nobody counts any meanwhile.
LOCK TABLE ignored IN SHARE ROW EXCLUSIVE MODE;

-- name: to_cut
-- See the shared statement. Locked: another person's data may be cut from it at the same time.
SELECT body, refusals, unfired FROM submission WHERE id = :submission FOR UPDATE;

-- name: names_of_event
-- The names of an event that another node has added.
SELECT pixel, event FROM lane WHERE id = :event;

-- name: add_lane
-- A pixel and event; no row where another transaction has just added them.
WITH new AS (
  INSERT INTO lane (pixel, event) VALUES (:pixel, :event) ON CONFLICT DO NOTHING RETURNING id)
SELECT id FROM new UNION ALL SELECT id FROM lane WHERE pixel = :pixel AND event = :event LIMIT 1;

-- name: add_account
-- A source and pixel; no row where another transaction has just added them.
WITH new AS (
  INSERT INTO account (source, pixel) VALUES (:source, :pixel) ON CONFLICT DO NOTHING RETURNING id)
SELECT id FROM new UNION ALL SELECT id FROM account WHERE source = :source AND pixel = :pixel LIMIT 1;

-- name: take_keys
-- Keys that nobody has are taken; the others are locked. Sorted, each once: so there is no deadlock.
INSERT INTO dedup (key, delivery, at)
SELECT key, delivery, at FROM unnest(:keys::uuid[], :deliveries::bigint[], :ats::bigint[])
  AS wanted (key, delivery, at) ORDER BY key
ON CONFLICT (key) DO UPDATE SET delivery = excluded.delivery WHERE false
RETURNING key;

-- name: holdings
-- Who has keys, since when, and where they are in the outbox.
SELECT dedup.key, dedup.delivery, dedup.at, outbox.state
FROM dedup LEFT JOIN outbox ON outbox.id = dedup.delivery WHERE dedup.key = ANY (:keys::uuid[]);

-- name: lock_keys
-- Who has keys; nobody else takes them meanwhile.
SELECT key, delivery FROM dedup WHERE key = ANY (:keys::uuid[]) ORDER BY key FOR UPDATE;

-- name: hand_over_keys
-- Keys go to other deliveries; they are locked.
UPDATE dedup SET delivery = taken.delivery, at = taken.at
FROM unnest(:keys::uuid[], :deliveries::bigint[], :ats::bigint[]) AS taken (key, delivery, at)
WHERE dedup.key = taken.key;

-- name: holder
-- See the shared statement. The delivery is locked: it cannot be claimed or settled meanwhile.
SELECT conversion.body, consent.evidence, waiting.reason,
  conversion.suppressed IS NOT NULL OR discarded.delivery IS NOT NULL, submission.received_at,
  waiting.state, waiting.ambiguous_since IS NOT NULL
FROM conversion JOIN submission ON submission.id = conversion.submission
LEFT JOIN (SELECT * FROM outbox WHERE id = :delivery FOR UPDATE) AS waiting
  ON waiting.id = conversion.id
LEFT JOIN consent ON consent.delivery = conversion.id
LEFT JOIN discarded ON discarded.delivery = conversion.id
WHERE conversion.id = :delivery;

-- name: add_submissions
-- Requests as they came.
INSERT INTO submission (
  id, receipt, source, door, received_at, first, entries, body, refusals, unfired)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
  $7::bigint[], $8::bytea[], $9::bytea[], $10::bytea[]);

-- name: add_conversions
-- Conversions in canonical form.
INSERT INTO conversion (id, submission, lane, conversion_id, body, suppressed, checksum)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::text[],
  $7::bigint[]);

-- name: add_deliveries
-- Deliveries, ready to be sent.
INSERT INTO outbox (id, lane, account, received_at, state)
SELECT *, 'queued' FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]);

-- name: add_held
-- Deliveries that a person must release before they are sent.
INSERT INTO outbox (id, lane, account, received_at, rested_at, reason, state)
SELECT *, 'held' FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
  $6::text[]);

-- name: add_consents
-- What was decided about consent.
INSERT INTO consent (delivery, evidence) SELECT * FROM unnest($1::bigint[], $2::bytea[]);

-- name: add_suppressions
-- Where suppressed conversions are found.
INSERT INTO suppression (key, delivery) SELECT * FROM unnest($1::bytea[], $2::bigint[]);

-- name: add_called
-- What people call deliveries of tags.
INSERT INTO called (delivery, name) SELECT * FROM unnest($1::bigint[], $2::text[]);

-- name: add_flagged
-- Amounts that are remarkable.
INSERT INTO flagged (delivery, kind, value, currency, usual)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]);

-- name: add_sightings
-- Conversion ids on their way.
INSERT INTO sighting (at, lane, way, conversion_id, email_mark, phone_mark, click_mark)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
  $7::bigint[]);

-- name: add_rejections
-- What was rejected. The oldest of an account makes room for one too many.
INSERT INTO rejection (id, at, nth, account, told)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
  AS new (id, at, nth, account, told) ORDER BY id
ON CONFLICT (id) DO UPDATE SET at = excluded.at, nth = excluded.nth, account = excluded.account,
  told = excluded.told;

-- name: add_tally
-- Add to what accounts have counted.
INSERT INTO tally AS known (slot, account, received, delivered, duplicate, suppressed, rejected)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
  $6::bigint[], $7::bigint[])
  AS new (slot, account, received, delivered, duplicate, suppressed, rejected) ORDER BY account
ON CONFLICT (account, slot) DO UPDATE SET
  received = known.received + excluded.received, delivered = known.delivered + excluded.delivered,
  duplicate = known.duplicate + excluded.duplicate,
  suppressed = known.suppressed + excluded.suppressed, rejected = known.rejected + excluded.rejected;

-- name: count_flow
-- What came and went, added to what is known of its span.
INSERT INTO flow AS known (slot, span, at, account, received, duplicate, suppressed, rejected,
  delivered, buried)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
  $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
  AS new (slot, span, at, account, received, duplicate, suppressed, rejected, delivered, buried)
ORDER BY span, at, account
ON CONFLICT (span, at, account, slot) DO UPDATE SET
  received = known.received + excluded.received, duplicate = known.duplicate + excluded.duplicate,
  suppressed = known.suppressed + excluded.suppressed, rejected = known.rejected + excluded.rejected,
  delivered = known.delivered + excluded.delivered, buried = known.buried + excluded.buried;

-- name: count_waited
-- How long deliveries took, added to what is known of its span.
INSERT INTO waited AS known (writer, span, at, account, slot, deliveries)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
  $6::bigint[]) AS new (writer, span, at, account, slot, deliveries)
ORDER BY span, at, account, slot
ON CONFLICT (span, at, account, slot, writer) DO UPDATE SET
  deliveries = known.deliveries + excluded.deliveries;

-- name: count_matched
-- Match keys of new conversions, added to what is known of the day.
INSERT INTO matched AS known (slot, day, account, lane, conversions, click, email, phone, pair, two,
  one_short)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
  $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
  AS new (slot, day, account, lane, conversions, click, email, phone, pair, two, one_short)
ORDER BY day, account, lane
ON CONFLICT (day, account, lane, slot) DO UPDATE SET
  conversions = known.conversions + excluded.conversions, click = known.click + excluded.click,
  email = known.email + excluded.email, phone = known.phone + excluded.phone,
  pair = known.pair + excluded.pair, two = known.two + excluded.two,
  one_short = known.one_short + excluded.one_short;

-- name: count_flaws
-- What spoilt match keys, added to what is known of the day; the latest is the example.
INSERT INTO flaw AS known (slot, day, account, lane, code, times, wins, shape, delivery)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[],
  $6::bigint[], $7::bigint[], $8::text[], $9::bigint[])
  AS new (slot, day, account, lane, code, times, wins, shape, delivery)
ORDER BY day, account, lane, code
ON CONFLICT (day, account, lane, code, slot) DO UPDATE SET
  times = known.times + excluded.times, wins = known.wins + excluded.wins, shape = excluded.shape,
  delivery = excluded.delivery;

-- name: add_replaced
-- A later copy has its key.
INSERT INTO replaced (delivery, by) VALUES (:delivery, :by)
ON CONFLICT (delivery) DO UPDATE SET by = excluded.by;

-- name: show_replaced
-- It is found by the key that it had.
INSERT INTO suppression (key, delivery) VALUES (:key, :delivery) ON CONFLICT DO NOTHING;

-- name: deny
-- What is in flight is not to be tried again. `holder` has locked it.
INSERT INTO denied (delivery, at, reason)
SELECT id, :now, :reason FROM outbox WHERE id = :delivery AND state = 'sending'
ON CONFLICT DO NOTHING;

-- name: count_repeats
-- The same came again, once for each time a delivery is listed.
INSERT INTO repeated (delivery, times)
SELECT value, count(*) FROM unnest(translate(:deliveries, '[]', '{}')::bigint[]) AS value
GROUP BY value ORDER BY value
ON CONFLICT (delivery) DO UPDATE SET times = repeated.times + excluded.times;

-- name: count_ignored
-- Something was ignored again, or for the first time; under :other where a day has too many names.
INSERT INTO ignored (day, source, door, name, reason, times)
VALUES (:day, :source, :door, CASE
  WHEN EXISTS (
    SELECT 1 FROM ignored WHERE day = :day AND source = :source AND door = :door
      AND name = :called AND reason = :reason)
    OR (SELECT count(*) FROM ignored WHERE day = :day AND source = :source) < :most
  THEN :called ELSE :other END, :reason, :times)
ON CONFLICT (day, source, door, name, reason) DO UPDATE SET times = ignored.times + excluded.times;

-- name: put_ignored
-- How often something was ignored, counted together with what has the same name.
INSERT INTO ignored (day, source, door, name, reason, times)
VALUES (:day, :source, :door, :called, :reason, :times)
ON CONFLICT (day, source, door, name, reason) DO UPDATE SET times = ignored.times + excluded.times;

-- name: forget_request_names
-- The oldest names, a few at a time.
DELETE FROM request_name WHERE id IN (
  SELECT id FROM request_name WHERE at < :before ORDER BY at LIMIT 8 FOR UPDATE SKIP LOCKED);

-- name: forget_sightings
-- The oldest go.
DELETE FROM sighting WHERE id IN (
  SELECT id FROM sighting WHERE at < :before ORDER BY at LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: promote
-- Postponed deliveries whose time has come are ready.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at <= :now
  ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: promote_far
-- Deliveries postponed further than any may be were postponed by another clock: they are ready.
UPDATE outbox SET due_at = NULL
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'queued' AND due_at IS NOT NULL AND due_at > :furthest
  LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: ready_sizes
-- How many bytes each of the ready deliveries of a lane has. They are locked; what another transaction
-- moves is skipped.
SELECT coalesce(json_agg(size), '[]')::text
FROM (
  SELECT coalesce(length(conversion.body), 0) AS size
  FROM (
    SELECT id, rank FROM outbox
    WHERE lane = :lane AND state = 'queued' AND due_at IS NULL
      AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
      AND crashes < :crashes
      AND id <> ALL (translate(:passing, '[]', '{}')::bigint[])
    ORDER BY rank, id LIMIT :limit FOR UPDATE SKIP LOCKED) AS ready
  LEFT JOIN conversion ON conversion.id = ready.id
  ORDER BY ready.rank, ready.id) AS sizes;

-- name: claimable
-- The ready deliveries of a lane, earliest deadline first, as one row; locked.
SELECT
  coalesce(json_agg(json_build_array(
    id, conversion_id, size, received_at, attempts, ambiguous_since, crashes, checksum)), '[]')::text,
  coalesce(string_agg(body, ''::bytea), ''::bytea)
FROM (
  SELECT ready.*, conversion.conversion_id, length(conversion.body) AS size, conversion.checksum,
    conversion.body
  FROM (
    SELECT id, rank, received_at, attempts, ambiguous_since, crashes FROM outbox
    WHERE lane = :lane AND state = 'queued' AND due_at IS NULL
      AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
      AND crashes < :crashes
      AND id <> ALL (translate(:passing, '[]', '{}')::bigint[])
    ORDER BY rank, id LIMIT :limit FOR UPDATE SKIP LOCKED) AS ready
  JOIN conversion ON conversion.id = ready.id
  ORDER BY ready.rank, ready.id) AS claimed;

-- name: ready_ids
-- The ready deliveries of a lane by their numbers alone, with or without a conversion; locked.
SELECT id FROM outbox
WHERE lane = :lane AND state = 'queued' AND due_at IS NULL
  AND (ambiguous_since IS NULL OR ambiguous_since >= :ambiguous_after)
  AND crashes < :crashes
  AND id <> ALL (translate(:passing, '[]', '{}')::bigint[])
ORDER BY rank, id
LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: next_lease
-- A fencing token.
SELECT nextval('lease_number');

-- name: add_lease
-- The claim itself.
INSERT INTO lease (id, node, lane, claimed_at, until, open, deliveries)
VALUES (:lease, :node, :lane, :claimed_at, :until, :open, :deliveries);

-- name: lock_lease
-- A settlement and an expiry of the same lease are one after the other.
SELECT id FROM lease WHERE id = :lease FOR UPDATE;

-- name: lock_deliveries
-- In the order of their ids, as everywhere.
SELECT count(*) FROM (
  SELECT id FROM outbox WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  ORDER BY id FOR UPDATE) AS locked;

-- name: lapsed_leases
-- Leases of this node past their end, and those that end later than any may. Not those that are
-- being settled.
SELECT id, lane, claimed_at, deliveries FROM lease
WHERE node = :node AND (until < :now OR until > :furthest) ORDER BY id FOR UPDATE SKIP LOCKED;

-- name: leases_of_dead_nodes
-- Leases of nodes that are gone.
SELECT id, lane, claimed_at, deliveries FROM lease
WHERE NOT EXISTS (SELECT FROM node WHERE node.id = lease.node) ORDER BY id FOR UPDATE SKIP LOCKED;

-- name: still_under
-- The deliveries of a lease that are still under it, as JSON; locked.
SELECT coalesce(json_agg(id), '[]')::text, count(*) FROM (
  SELECT id FROM outbox
  WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND lease = :lease
    AND state = 'sending'
  ORDER BY id FOR UPDATE) AS locked;

-- name: add_attempted
-- What the request held.
INSERT INTO attempted (delivery, attempt)
SELECT value, :attempt FROM unnest(translate(:deliveries, '[]', '{}')::bigint[]) AS value
ON CONFLICT DO NOTHING;

-- name: taken_of
-- When deliveries under a lease were received, as JSON by account.
SELECT account, json_agg(received_at)::text FROM outbox
WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND lease = :lease
  AND state = 'sending'
GROUP BY account;

-- name: count_crashes
-- The sender failed with them; 2 and 5 are SUSPECT and QUARANTINED of twite.domain.delivery.
UPDATE outbox
SET crashes = CASE
    WHEN :alone THEN greatest(crashes, 2) + 1
    ELSE least(crashes + 1, greatest(crashes, 2)) END
WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND lease = :lease
  AND state = 'sending';

-- name: quarantined
-- Those of a lease with which the sender has failed too often, as JSON.
SELECT coalesce(json_agg(id), '[]')::text, count(*) FROM outbox
WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND lease = :lease
  AND state = 'sending' AND crashes >= :limit;

-- name: hold_ambiguous
-- Sending again could count twice.
UPDATE outbox SET state = 'held', due_at = NULL, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'queued' AND ambiguous_since IS NOT NULL AND ambiguous_since < :before
  LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: hold_cautious
-- Ambiguous deliveries of pixels that are not to be sent to again in doubt.
UPDATE outbox SET state = 'held', due_at = NULL, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT outbox.id FROM outbox JOIN lane ON lane.id = outbox.lane
  WHERE outbox.state = 'queued' AND outbox.ambiguous_since IS NOT NULL
    AND lane.pixel IN (SELECT json_array_elements_text(:pixels::json))
  LIMIT :limit FOR UPDATE OF outbox SKIP LOCKED);

-- name: hold_ready
-- Ready deliveries of one lane that have waited beyond patience.
UPDATE outbox SET state = 'held', reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE lane = :lane AND state = 'queued' AND due_at IS NULL AND rank < :before
    AND received_at < :before AND (replayed_at IS NULL OR replayed_at < :before)
  LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: hold_waiting
-- Postponed deliveries that have waited beyond patience.
UPDATE outbox SET state = 'held', due_at = NULL, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'queued' AND due_at IS NOT NULL AND received_at < :before
    AND (replayed_at IS NULL OR replayed_at < :before)
  LIMIT :limit FOR UPDATE SKIP LOCKED);

-- name: timed
-- The latest moment on record, the one that was written last, and how far X's clock was ahead of it.
SELECT
  greatest(coalesce((SELECT max(at) FROM attempt), 0),
    coalesce((SELECT received_at FROM submission ORDER BY id DESC LIMIT 1), 0)),
  greatest(coalesce((SELECT at FROM attempt ORDER BY id DESC LIMIT 1), 0),
    coalesce((SELECT received_at FROM submission ORDER BY id DESC LIMIT 1), 0)),
  (SELECT ahead FROM deployment);

-- name: hold_in_doubt
-- What was given up is held: it is perhaps not at fault.
UPDATE outbox SET state = 'held', reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND state = 'dead'
  ORDER BY id FOR UPDATE);

-- name: recall
-- What is held for a reason of ours goes again, each once.
UPDATE outbox
SET state = 'queued', due_at = NULL, replayed_at = :now, rested_at = NULL, reason = NULL
WHERE id IN (
  SELECT id FROM outbox
  WHERE state = 'held' AND lane = :lane AND replayed_at IS NULL
    AND starts_with(reason, :reason)
  ORDER BY id FOR UPDATE);

-- name: replay
-- A person has decided: send them again. That X may have one is forgotten where they are sure; where
-- no try of it is known, it may have it since it came in.
UPDATE outbox
SET state = 'queued', due_at = NULL, replayed_at = :now, rested_at = NULL, reason = NULL,
    ambiguous_since = CASE
      WHEN id = ANY (translate(:sure, '[]', '{}')::bigint[]) THEN NULL
      WHEN reason IN (SELECT json_array_elements_text(:maybe_sent::json))
        THEN coalesce(ambiguous_since, received_at)
      ELSE ambiguous_since END
WHERE id IN (
  SELECT id FROM outbox
  WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND state IN ('held', 'dead')
  ORDER BY id FOR UPDATE);

-- name: count_discarded
-- Add resting deliveries to what their accounts have suppressed. The others are locked, too: what is
-- not counted here must not rest when the next statement removes what rests.
WITH listed AS MATERIALIZED (
  SELECT account, state FROM outbox WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  ORDER BY id FOR UPDATE)
INSERT INTO tally AS known (account, slot, suppressed)
  SELECT account, :slot, count(*) FROM listed WHERE state IN ('held', 'dead')
  GROUP BY account ORDER BY account
ON CONFLICT (account, slot) DO UPDATE SET suppressed = known.suppressed + excluded.suppressed;

-- name: count_withdrawn
-- Add deliveries that are not being sent to what their accounts have suppressed. The others are
-- locked, too: they must not be queued before the next statement removes what is queued.
WITH listed AS MATERIALIZED (
  SELECT account, state FROM outbox WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  ORDER BY id FOR UPDATE)
INSERT INTO tally AS known (account, slot, suppressed)
  SELECT account, :slot, count(*) FROM listed WHERE state IN ('queued', 'held', 'dead')
  GROUP BY account ORDER BY account
ON CONFLICT (account, slot) DO UPDATE SET suppressed = known.suppressed + excluded.suppressed;

-- name: hold_queued
-- A person decides about what was to be sent.
UPDATE outbox SET state = 'held', due_at = NULL, reason = :reason, rested_at = :now
WHERE id IN (
  SELECT id FROM outbox
  WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[]) AND state = 'queued'
  ORDER BY id FOR UPDATE);

-- name: to_amend
-- A dead or held conversion as it is; locked.
SELECT conversion.lane, lane.pixel, lane.event, conversion.conversion_id, outbox.received_at,
  conversion.body
FROM outbox JOIN conversion ON conversion.id = outbox.id JOIN lane ON lane.id = conversion.lane
WHERE outbox.id = :delivery AND outbox.state IN ('held', 'dead') FOR UPDATE OF outbox;

-- name: note_amended
-- What it was.
INSERT INTO amended (delivery, at, lane, body, note) VALUES (:delivery, :at, :lane, :body, :note)
ON CONFLICT (delivery, at) DO UPDATE SET lane = excluded.lane, body = excluded.body,
  note = excluded.note;

-- name: to_erase
-- Conversions as they are, for those that go; locked where they wait.
SELECT conversion.id, conversion.lane, lane.pixel, lane.event, conversion.conversion_id,
  conversion.suppressed, submission.received_at, length(conversion.body), waiting.state
FROM conversion
JOIN lane ON lane.id = conversion.lane
JOIN submission ON submission.id = conversion.submission
LEFT JOIN (
  SELECT id, state FROM outbox WHERE id = ANY (translate(:deliveries, '[]', '{}')::bigint[])
  ORDER BY id FOR UPDATE) AS waiting ON waiting.id = conversion.id
WHERE conversion.id = ANY (translate(:deliveries, '[]', '{}')::bigint[]);

-- name: deliveries_of_keys
-- The delivery that has each key.
SELECT place, dedup.delivery
FROM (
  SELECT value AS place, encode(substring(:keys::bytea FROM value * 16 + 1 FOR 16), 'hex')::uuid AS key
  FROM unnest(translate(:places, '[]', '{}')::int[]) AS value) AS entry
LEFT JOIN dedup ON dedup.key = entry.key
ORDER BY place;

-- name: copies_of_keys
-- The other deliveries under each key, the latest first: suppressed, or with a later copy in their place.
SELECT place, suppression.delivery
FROM (
  SELECT value AS place, substring(:keys::bytea FROM value * 16 + 1 FOR 16) AS key
  FROM unnest(translate(:places, '[]', '{}')::int[]) AS value) AS entry
JOIN suppression ON suppression.key = entry.key
ORDER BY place, suppression.delivery DESC LIMIT :limit;

-- name: accounts
-- The accounts: what was counted, beside what is in the outbox. One statement is one view.
SELECT account.source, account.pixel,
  coalesce(counted.received, 0), coalesce(counted.delivered, 0), coalesce(counted.duplicate, 0),
  coalesce(counted.suppressed, 0), coalesce(counted.rejected, 0),
  coalesce(live.dead, 0), coalesce(live.held, 0), coalesce(live.pending, 0)
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

-- name: backlog
-- What is pending, by pixel and hour of rank.
SELECT lane.pixel, rank / :hour AS hour, count(*), min(rank), min(received_at)
FROM outbox JOIN lane ON lane.id = outbox.lane
WHERE state IN ('queued', 'sending') GROUP BY lane.pixel, hour ORDER BY lane.pixel, hour;

-- name: rejected_so_far
-- How many of an account were rejected, since the beginning.
SELECT coalesce(sum(rejected), 0)::bigint FROM tally WHERE account = :account;

-- name: flaws
-- What spoilt match keys, by event; shape and delivery are of the latest day.
SELECT account.pixel, coalesce(lane.event, ''), flaw.code, sum(flaw.times)::bigint AS times,
  sum(flaw.wins)::bigint, (array_agg(flaw.shape ORDER BY flaw.day DESC))[1],
  (array_agg(flaw.delivery ORDER BY flaw.day DESC))[1], max(flaw.day)
FROM flaw JOIN account ON account.id = flaw.account LEFT JOIN lane ON lane.id = flaw.lane
WHERE flaw.day >= :since
  AND (:pixels::text IS NULL OR account.pixel IN (SELECT json_array_elements_text(:pixels::json)))
  AND (:source::text IS NULL OR account.source = :source)
GROUP BY account.pixel, lane.event, flaw.code ORDER BY times DESC, 1, 2, 3;

-- name: keep_stragglers
-- What is not settled when its time comes is looked at again.
INSERT INTO straggler (delivery)
SELECT id FROM outbox WHERE id >= :first AND id < :end ON CONFLICT DO NOTHING;

-- name: rested_long
-- Dead and held deliveries that nobody has decided about.
SELECT coalesce(json_agg(id), '[]')::text, count(*) FROM (
  SELECT id FROM outbox
  WHERE state IN ('held', 'dead') AND rested_at < :before ORDER BY rested_at LIMIT :limit) AS old;

-- name: begin_session
-- Somebody signed in, with what they still have.
INSERT INTO session (digest, "user", begun_at, seen_at, address, agent)
SELECT :digest, :user, :begun_at, :seen_at, :address, :agent WHERE EXISTS (
  SELECT 1 FROM "user"
  WHERE name = :user AND password = :password AND code_since IS NOT DISTINCT FROM :code_since);

-- name: looked_through
-- The first of the conversions before one that are looked through.
SELECT CASE WHEN count(*) < :limit THEN :floor ELSE min(id) END FROM (
  SELECT id FROM conversion WHERE id < :before AND id >= :floor ORDER BY id DESC LIMIT :limit)
  AS looked;

-- name: payload_heads
-- How the sealed payloads of tags begin, in base64, and how many begin so.
SELECT head, count(*) FROM (
  SELECT substring(encode(conversion.body, 'escape') FROM '"sealed": *"([^"]{8})') AS head
  FROM lane JOIN outbox ON outbox.lane = lane.id JOIN conversion ON conversion.id = outbox.id
  WHERE lane.pixel >= :first AND lane.pixel < :beyond) AS sealed
WHERE head IS NOT NULL GROUP BY head;

-- name: measure_error_group
-- How many deliveries rest for a reason, since when, and whether X may have some.
SELECT count(*), min(rested_at), max(rested_at), bool_or(ambiguous_since IS NOT NULL) FROM (
  SELECT rested_at, ambiguous_since FROM outbox
  WHERE state IN ('held', 'dead') AND state = :state AND lane = :lane AND reason = :reason
  LIMIT :limit) AS resting;

-- name: amended_after
-- What people have changed, by the numbers of the deliveries. One with many changes is one row.
SELECT delivery, string_agg(convert_to(note || ' ', 'UTF8') || body, ' '::bytea) FROM amended
WHERE delivery > :after GROUP BY delivery ORDER BY delivery LIMIT :limit;

-- name: index_anew
-- VACUUM clears what is left of erased rows and their index entries.
SELECT 1;

-- name: pairs
-- The orders under two ids that overlap counts, the latest first, each with one of its others.
WITH
  seen AS MATERIALIZED (
    SELECT
      lane, conversion_id, min(at) AS first_at, bool_or(way IN ('page', 'blocked', 'pixel')) AS page,
      bool_or(way = 'server') AS server, max(email_mark) AS email_mark,
      max(phone_mark) AS phone_mark, max(click_mark) AS click_mark
    FROM sighting WHERE at >= :since - :meets_within::bigint
    GROUP BY lane, conversion_id),
  marked AS MATERIALIZED (
    SELECT lane, conversion_id, first_at, server, mark.kind, mark.mark
    FROM seen CROSS JOIN LATERAL (
      VALUES ('email', email_mark), ('phone', phone_mark), ('click', click_mark)) AS mark (kind, mark)
    WHERE mark.mark IS NOT NULL AND server <> page),
  near_by AS MATERIALIZED (
    SELECT lane, kind, mark, first_at / :meets_within + near AS span, min(first_at) AS server_at,
      (array_agg(conversion_id ORDER BY first_at, conversion_id))[1] AS server_id
    FROM marked CROSS JOIN generate_series(-1, 1) AS near WHERE server GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT lane, kind, mark, first_at / :meets_within + near, max(first_at),
      (array_agg(conversion_id ORDER BY first_at DESC, conversion_id))[1]
    FROM marked CROSS JOIN generate_series(-1, 1) AS near WHERE server GROUP BY 1, 2, 3, 4),
  paired AS MATERIALIZED (
    SELECT DISTINCT ON (marked.lane, marked.conversion_id)
      marked.lane, marked.conversion_id AS page_id, server_id, first_at
    FROM marked JOIN near_by
      ON near_by.lane = marked.lane AND near_by.kind = marked.kind AND near_by.mark = marked.mark
      AND near_by.span = marked.first_at / :meets_within
    WHERE NOT marked.server AND first_at >= :since AND abs(server_at - first_at) <= :meets_within
    ORDER BY marked.lane, marked.conversion_id, abs(server_at - first_at), server_id)
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
      min(at) FILTER (WHERE way = 'pixel') AS pixel_first,
      max(at) FILTER (WHERE way = 'pixel') AS pixel_last,
      min(at) FILTER (WHERE way IN ('page', 'server')) AS gateway_first,
      bool_or(way = 'blocked') AS blocked, bool_or(way = 'page') AS page,
      bool_or(way = 'server') AS server, max(email_mark) AS email_mark,
      max(phone_mark) AS phone_mark, max(click_mark) AS click_mark
    FROM sighting WHERE at >= :since - :meets_within::bigint
    GROUP BY lane, conversion_id),
  marked AS MATERIALIZED (
    SELECT lane, conversion_id, first_at, server, mark.kind, mark.mark
    FROM seen CROSS JOIN LATERAL (
      VALUES ('email', email_mark), ('phone', phone_mark), ('click', click_mark)) AS mark (kind, mark)
    WHERE mark.mark IS NOT NULL AND server <> (page OR blocked OR pixel_first IS NOT NULL)),
  -- Spans of 48 hours, each told to its neighbours too: one row a span, however many share a mark.
  by_server AS MATERIALIZED (
    SELECT lane, kind, mark, first_at / :meets_within + near AS span, min(first_at) AS earliest,
      max(first_at) AS latest
    FROM marked CROSS JOIN generate_series(-1, 1) AS near
    WHERE server GROUP BY 1, 2, 3, 4),
  twice AS MATERIALIZED (
    SELECT DISTINCT marked.lane, marked.conversion_id
    FROM marked JOIN by_server
      ON by_server.lane = marked.lane AND by_server.kind = marked.kind
      AND by_server.mark = marked.mark AND by_server.span = marked.first_at / :meets_within
    WHERE NOT marked.server AND by_server.earliest <= marked.first_at + :meets_within
      AND by_server.latest >= marked.first_at - :meets_within)
SELECT
  lane.pixel, lane.event, first_at / :day AS day,
  count(*) FILTER (WHERE pixel_first IS NOT NULL AND gateway_first IS NOT NULL),
  count(*) FILTER (WHERE pixel_first IS NOT NULL AND gateway_first IS NULL),
  count(*) FILTER (WHERE pixel_first IS NULL AND gateway_first IS NOT NULL),
  count(*) FILTER (WHERE blocked), count(*) FILTER (WHERE page AND server), count(twice.lane),
  count(*) FILTER (
    WHERE pixel_last - gateway_first > :meets_within OR gateway_first - pixel_first > :meets_within)
FROM seen
JOIN lane ON lane.id = seen.lane
LEFT JOIN twice ON twice.lane = seen.lane AND twice.conversion_id = seen.conversion_id
WHERE first_at >= :since
GROUP BY lane.pixel, lane.event, day
ORDER BY lane.pixel, lane.event, day;

-- name: join_nodes
-- A new gateway; its id is its fencing token.
INSERT INTO node (name, version, accounts, longest_request, until)
VALUES (:name, :version, :accounts, :longest_request,
  clock_timestamp() + make_interval(secs => :lease::float8))
RETURNING id;

-- name: know_accounts
-- The accounts in this gateway's settings have changed.
UPDATE node SET accounts = :accounts, longest_request = :longest_request WHERE id = :node;

-- name: renew_node
-- The lease goes on. No row: the node was fenced.
UPDATE node SET until = clock_timestamp() + make_interval(secs => :lease::float8)
WHERE id = :node RETURNING id;

-- name: fence_nodes
-- Nodes whose last request has ended. Locks the same row as a renewal: one of the two does nothing. A
-- node that has stopped in the middle of a claim has locked its own: the server ends that soon.
DELETE FROM node WHERE id IN (
  SELECT id FROM node
  WHERE until + make_interval(secs => longest_request / 1000.0 + :margin::float8)
    < clock_timestamp()
  ORDER BY id FOR UPDATE SKIP LOCKED);

-- name: next_fence
-- In how many seconds the first of the nodes will have to be fenced, if it gives no sign of life.
SELECT coalesce(extract(epoch FROM min(until + make_interval(secs => longest_request / 1000.0))
  - clock_timestamp())::float8, 3600) + :margin::float8
FROM node;

-- name: live_nodes
-- Nodes whose lease is in force.
SELECT id, accounts FROM node WHERE until > clock_timestamp() ORDER BY id;

-- name: lock_leader
-- Nodes share the accounts out one after the other.
SELECT version FROM ownership WHERE account = '#leader' FOR UPDATE;

-- name: take_accounts
-- Accounts that no node owns. Those of other nodes are not even locked: their claims lock them.
INSERT INTO ownership AS had (account, node, version)
SELECT account, :node, 1 FROM unnest(:accounts::text[]) AS account
WHERE NOT EXISTS (
  SELECT FROM ownership JOIN node ON node.id = ownership.node
  WHERE ownership.account = account.account)
ON CONFLICT (account) DO UPDATE SET node = excluded.node, version = had.version + 1
WHERE had.node IS NULL OR NOT EXISTS (SELECT FROM node WHERE node.id = had.node);

-- name: own_accounts
-- What this node owns.
SELECT account FROM ownership WHERE node = :node;

-- name: give_up_accounts
-- For another node to take.
UPDATE ownership SET node = NULL, version = version + 1
WHERE node = :node AND account = ANY (:accounts::text[]);

-- name: leave_nodes
-- A gateway stops in order.
DELETE FROM node WHERE id = :node;

-- name: check_owner
-- A claim and a change of ownership, or the end of the node, are one after the other. Once a user has
-- paused a pixel through any gateway, nothing of it is claimed.
SELECT ownership.version FROM ownership JOIN node ON node.id = ownership.node
WHERE ownership.account = :account AND node.id = :node AND NOT EXISTS (
  SELECT FROM pause WHERE pixel = :pixel AND event = '' AND reason LIKE :by_user)
FOR SHARE OF ownership FOR KEY SHARE OF node;
