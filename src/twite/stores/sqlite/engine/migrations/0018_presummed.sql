-- What pages show of months is added up by the writer, not when it is looked at.

-- What came and went, and how long it took, by quarters of a day and by days too: what there is by hours
-- is added up once. Hours are kept for less long from now on.
INSERT INTO flow (span, at, account, received, duplicate, suppressed, rejected, delivered, buried)
SELECT longer.span, flow.at / longer.span * longer.span, flow.account,
  sum(received), sum(duplicate), sum(suppressed), sum(rejected), sum(delivered), sum(buried)
FROM flow CROSS JOIN (SELECT 21600000 AS span UNION ALL SELECT 86400000) AS longer
WHERE flow.span = 3600000
GROUP BY 1, 2, 3;

INSERT INTO waited (span, at, account, slot, deliveries)
SELECT longer.span, waited.at / longer.span * longer.span, waited.account, waited.slot, sum(deliveries)
FROM waited CROSS JOIN (SELECT 21600000 AS span UNION ALL SELECT 86400000) AS longer
WHERE waited.span = 3600000
GROUP BY 1, 2, 3, 4;

DELETE FROM waited WHERE span = 3600000
  AND at < (SELECT max(at) FROM waited WHERE span = 3600000) - 172800000;
DELETE FROM flow WHERE span = 3600000
  AND at < (SELECT max(at) FROM flow WHERE span = 3600000) - 172800000;

-- Match keys of new conversions by day (whole days since 1970): each sum of twite.domain.stats.match_keys.Matching.
CREATE TABLE matched (
  day INTEGER NOT NULL,
  account INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  conversions INTEGER NOT NULL,
  click INTEGER NOT NULL,
  email INTEGER NOT NULL,
  phone INTEGER NOT NULL,
  pair INTEGER NOT NULL,
  two INTEGER NOT NULL,
  one_short INTEGER NOT NULL,
  PRIMARY KEY (day, account, lane)
) WITHOUT ROWID;

INSERT INTO matched
SELECT day, account, lane, sum(conversions), sum(conversions * click), sum(conversions * email),
  sum(conversions * phone), sum(conversions * pair),
  sum(conversions * (click + email + phone + pair > 1)),
  sum(conversions * (click + email + phone + pair = 1))
FROM (
  SELECT day, account, lane, conversions, kit & 1 AS click, kit >> 1 & 1 AS email,
    kit >> 2 & 1 AS phone, (kit >> 3 & 1) * (kit >> 4 & 1) AS pair
  FROM kit)
GROUP BY day, account, lane;

DROP TABLE kit;
