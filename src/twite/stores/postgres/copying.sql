-- Tables that have several rows for one row of another engine: a row for each connection that counted.

-- name: account
-- Accounts and their counts.
SELECT account.id, source, pixel, coalesce(sum(received), 0)::bigint AS received,
  coalesce(sum(delivered), 0)::bigint AS delivered,
  coalesce(sum(duplicate), 0)::bigint AS duplicate,
  coalesce(sum(suppressed), 0)::bigint AS suppressed,
  coalesce(sum(rejected), 0)::bigint AS rejected, since
FROM account LEFT JOIN tally ON tally.account = account.id
GROUP BY account.id;

-- name: flow
-- Traffic by time span.
SELECT span, at, account, sum(received)::bigint AS received,
  sum(duplicate)::bigint AS duplicate, sum(suppressed)::bigint AS suppressed,
  sum(rejected)::bigint AS rejected, sum(delivered)::bigint AS delivered,
  sum(dead)::bigint AS dead
FROM flow GROUP BY span, at, account;

-- name: waited
-- Delivery times by time span.
SELECT span, at, account, slot, sum(deliveries)::bigint AS deliveries
FROM waited GROUP BY span, at, account, slot;

-- name: matched
-- Match keys by day.
SELECT day, account, queue, sum(conversions)::bigint AS conversions,
  sum(click)::bigint AS click, sum(email)::bigint AS email, sum(phone)::bigint AS phone,
  sum(pair)::bigint AS pair, sum(two)::bigint AS two, sum(one_short)::bigint AS one_short,
  sum(email_only)::bigint AS email_only
FROM matched GROUP BY day, account, queue;

-- name: flaw
-- Flaws of match keys; the example is of the latest delivery.
SELECT day, account, queue, code, sum(times)::bigint AS times, sum(wins)::bigint AS wins,
  (array_agg(shape ORDER BY delivery DESC NULLS LAST, slot))[1] AS shape,
  max(delivery) AS delivery, sum(rejected)::bigint AS rejected
FROM flaw GROUP BY day, account, queue, code;
