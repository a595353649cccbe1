-- The dedup keys of a file: those in the log of keys have priority over those in the tables, as in
-- `DedupKeys`.

-- name: held_keys
WITH fresh AS (
  SELECT key, max(delivery) AS delivery FROM fresh_key CROSS JOIN merge_round
  WHERE delivery >= began
    OR (delivery >= high AND bucket > 0
      AND hex(substr(key, 1, 1)) >= printf('%02X', bucket))
  GROUP BY key),
merged AS (
  SELECT key, delivery FROM recent_key
  UNION ALL
  SELECT key, delivery FROM dedup WHERE key NOT IN (SELECT key FROM recent_key));

-- name: taken_at
coalesce((
  SELECT received_at FROM conversion JOIN submission ON submission.id = conversion.submission
  WHERE conversion.id = delivery), 0);

-- name: keys
SELECT key, delivery, taken_at FROM fresh WHERE key > :after
UNION ALL
SELECT key, delivery, taken_at FROM merged
WHERE key > :after AND key NOT IN (SELECT key FROM fresh)
ORDER BY key;

-- name: count_keys
SELECT (SELECT count(*) FROM fresh)
  + (SELECT count(*) FROM merged WHERE key NOT IN (SELECT key FROM fresh));
