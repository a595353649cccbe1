-- Statements that complete a rebuilt outbox, and what it refers to.

-- name: remove_delivered
-- A row that cannot be reached from the root may be left over from a delivery settled long ago.
DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(:ambiguous))
  AND id IN (SELECT delivery FROM attempted
    JOIN attempt ON attempt.id = attempt WHERE outcome = 'delivered');

-- name: remove_without_conversion
DELETE FROM outbox WHERE id NOT IN (SELECT id FROM conversion);

-- name: index_submissions
CREATE INDEX by_first ON submission (first, entries);

-- name: put_where_they_belong
-- Assign each conversion to its submission, by the conversion's number. If two submissions begin at
-- the same number, the first had no conversions.
UPDATE conversion SET submission = coalesce(
  (SELECT CASE WHEN conversion.id < whose.first + whose.entries THEN whose.id END
    FROM submission AS whose WHERE whose.first <= conversion.id
    ORDER BY whose.first DESC, whose.entries DESC LIMIT 1),
  CASE WHEN submission IN (SELECT id FROM submission) THEN -id ELSE submission END)
WHERE NOT EXISTS (SELECT 1 FROM submission AS said WHERE said.id = conversion.submission
  AND conversion.id >= said.first AND conversion.id < said.first + said.entries);

-- name: drop_index
DROP INDEX by_first;

-- name: stand_in_for_submissions
-- A placeholder for each lost submission whose conversions survive.
INSERT INTO submission (id, receipt, source, endpoint, received_at, first, entries, body)
SELECT conversion.submission, 'recovered-' || conversion.submission,
  coalesce(max(account.source), 'recovered'), 'native',
  coalesce(min(outbox.received_at), :now), min(conversion.id),
  max(conversion.id) - min(conversion.id) + 1, x''
FROM conversion LEFT JOIN outbox ON outbox.id = conversion.id
LEFT JOIN account ON account.id = outbox.account
WHERE conversion.submission NOT IN (SELECT id FROM submission)
GROUP BY conversion.submission;

-- name: create_lost_accounts
-- Accounts whose rows are lost although they have deliveries. The number that most of an account's
-- deliveries have is the right one.
INSERT OR IGNORE INTO account (id, source, pixel) SELECT outbox.account,
  coalesce(submission.source, 'recovered'), queue.pixel
FROM outbox
JOIN conversion ON conversion.id = outbox.id JOIN queue ON queue.id = outbox.queue
LEFT JOIN submission ON submission.id = conversion.submission
WHERE outbox.account NOT IN (SELECT id FROM account)
GROUP BY 1, 2, 3 ORDER BY count(*) DESC;

-- name: create_missing_accounts
INSERT INTO account (source, pixel) SELECT DISTINCT submission.source, queue.pixel
FROM conversion JOIN submission ON submission.id = conversion.submission
JOIN queue ON queue.id = conversion.queue WHERE true ON CONFLICT DO NOTHING;

-- name: hold_the_missing
-- Conversions that may have been sent.
INSERT INTO outbox (id, queue, account, received_at, state, rested_at, cause,
  reason)
SELECT conversion.id, conversion.queue, account.id, submission.received_at, 'held', :now, :cause,
  :reason
FROM conversion JOIN submission ON submission.id = conversion.submission
JOIN queue ON queue.id = conversion.queue
JOIN account ON account.source = submission.source AND account.pixel = queue.pixel
WHERE conversion.suppressed IS NULL AND length(conversion.body) > 0
  AND conversion.id NOT IN (SELECT id FROM outbox)
  AND conversion.id NOT IN (SELECT delivery FROM discarded)
  AND conversion.id NOT IN (SELECT delivery FROM attempted
    JOIN attempt ON attempt.id = attempt WHERE outcome = 'delivered');

-- name: strays
-- Deliveries of accounts that never existed.
SELECT id FROM outbox WHERE account NOT IN (SELECT id FROM account);

-- name: hold_strays
UPDATE outbox SET state = 'held', due_at = NULL, cause = :cause, reason = :reason, rested_at = :now, account =
  (SELECT account.id FROM account JOIN conversion ON conversion.id = outbox.id
    JOIN submission ON submission.id = conversion.submission
    JOIN queue ON queue.id = outbox.queue
    WHERE account.source = submission.source AND account.pixel = queue.pixel)
WHERE account NOT IN (SELECT id FROM account);

-- name: held
SELECT id FROM outbox WHERE state = 'held' AND cause = :cause;
