-- What only this gateway can see of its machine and its process, for the alerts of the leader, as JSON.
ALTER TABLE node ADD COLUMN conditions text COLLATE "C" NOT NULL DEFAULT '[]';
