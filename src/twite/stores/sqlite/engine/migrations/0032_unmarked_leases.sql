-- 1: the lease alone says that its deliveries are being sent; in the outbox, their state is 'queued'.
ALTER TABLE lease ADD COLUMN unmarked INTEGER NOT NULL DEFAULT 0;
