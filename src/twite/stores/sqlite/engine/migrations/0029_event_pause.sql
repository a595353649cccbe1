-- A pause is of a pixel, or of one event of it. What was refused alike paused a whole pixel before: it is
-- an event's fault, and shows itself anew.
CREATE TABLE paused (
  pixel TEXT NOT NULL,
  event TEXT NOT NULL,
  since INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (pixel, event)
) WITHOUT ROWID;

INSERT INTO paused
SELECT pixel, '', since, reason FROM pause WHERE reason NOT LIKE 'all conversions refused alike%';

DROP TABLE pause;

ALTER TABLE paused RENAME TO pause;
