-- Since when X may have what was taken back or given up: its history says so, as before.
ALTER TABLE discarded ADD COLUMN ambiguous_since INTEGER;
