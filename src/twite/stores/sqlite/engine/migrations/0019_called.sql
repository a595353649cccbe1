-- What people call a delivery of a tag whose conversion id is made of more: of the event's name, of the
-- trigger. Append-only; a row goes with its conversion.
CREATE TABLE called (
  delivery INTEGER PRIMARY KEY,
  name TEXT NOT NULL
);

CREATE INDEX so_called ON called (name, delivery);
