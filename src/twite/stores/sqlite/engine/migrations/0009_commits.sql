-- How many commits there have been: so the row of the deployment is in each of them.
ALTER TABLE deployment ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
