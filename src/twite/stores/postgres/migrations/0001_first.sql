-- The first schema on PostgreSQL. Tables and columns have the names of the SQLite schema, which
-- explains each of them, so that both engines share their statements. Times are whole milliseconds
-- since the Unix epoch, UTC. COLLATE "C" sorts as SQLite does, whatever the database's locale is.

-- In development versions, this table had no `applied_at`.
CREATE TABLE schema_version (
  version bigint PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row: this deployment.
CREATE TABLE deployment (
  id bigint PRIMARY KEY CHECK (id = 1),
  salt bytea NOT NULL,
  epoch bigint NOT NULL DEFAULT 0,
  ahead bigint
);
INSERT INTO deployment (id, salt) VALUES (1, uuid_send(gen_random_uuid()));

-- Ids of submissions, conversions and attempts: seconds since 2026 << 23 | group << 11 | place. They
-- rise with time, are below 2^53 until 2060, and cost one nextval a transaction.
CREATE SEQUENCE id_group CYCLE;

-- The id of each transaction that wrote. After a COMMIT without an answer, a node looks here.
CREATE TABLE transaction_mark (
  id bigint PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000);

-- A running gateway. An id is never used again: it is the fencing token. `accounts` are those in its
-- settings, as JSON. `until` is by the database's clock; `longest_request` is in milliseconds.
CREATE TABLE node (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  accounts text COLLATE "C" NOT NULL,
  longest_request bigint NOT NULL,
  until timestamptz NOT NULL,
  -- What only this gateway can see of its machine and its process, for the alerts of the leader: JSON.
  conditions text COLLATE "C" NOT NULL DEFAULT '[]'
) WITH (fillfactor = 50);

-- The node that sends to an account or tag; '#leader' has the tasks of which there is one.
CREATE TABLE ownership (
  account text COLLATE "C" PRIMARY KEY,
  node bigint,
  version bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO ownership (account) VALUES ('#leader');

-- Nodes ask with each claim whether their copies are old: no LISTEN, so any pooler will do.
CREATE TABLE change (
  what text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO change VALUES ('opt_out', 0);

CREATE TABLE account (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source text COLLATE "C" NOT NULL,
  pixel text COLLATE "C" NOT NULL,
  since bigint NOT NULL DEFAULT 0,
  UNIQUE (source, pixel)
);

-- What accounts have counted, in a row for each slot: connections do not wait for each other. Sums are
-- made when it is read.
CREATE TABLE tally (
  account bigint NOT NULL,
  slot bigint NOT NULL,
  received bigint NOT NULL DEFAULT 0,
  delivered bigint NOT NULL DEFAULT 0,
  duplicate bigint NOT NULL DEFAULT 0,
  suppressed bigint NOT NULL DEFAULT 0,
  rejected bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (account, slot)
) WITH (fillfactor = 50);

CREATE TABLE queue (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pixel text COLLATE "C" NOT NULL,
  event text COLLATE "C" NOT NULL,
  UNIQUE (pixel, event)
);

CREATE TABLE submission (
  id bigint PRIMARY KEY,
  receipt text COLLATE "C" NOT NULL UNIQUE,
  source text COLLATE "C" NOT NULL,
  endpoint text COLLATE "C" NOT NULL,
  received_at bigint NOT NULL,
  first bigint NOT NULL,
  entries bigint NOT NULL,
  body bytea NOT NULL,
  refusals bytea,
  unfired bytea
);

CREATE TABLE conversion (
  id bigint PRIMARY KEY,
  submission bigint NOT NULL,
  queue bigint NOT NULL,
  conversion_id text COLLATE "C" NOT NULL,
  body bytea NOT NULL,
  checksum bigint,
  suppressed text COLLATE "C",
  cause text COLLATE "C"
);
ALTER TABLE conversion ALTER body SET STORAGE EXTERNAL; -- 671 bytes do not shrink

-- Which delivery holds a dedup key, and when that was received.
CREATE TABLE dedup (
  key uuid PRIMARY KEY,
  delivery bigint NOT NULL,
  at bigint NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE suppression (
  key bytea NOT NULL,
  delivery bigint NOT NULL,
  PRIMARY KEY (key, delivery)
);
CREATE INDEX suppression_by_delivery ON suppression (delivery);

CREATE TABLE repeated (
  delivery bigint PRIMARY KEY,
  times bigint NOT NULL
);

-- A claim changes the state of each of its deliveries. No index contains that column, and a page has
-- room for a second version of its rows, so PostgreSQL changes a row within its page (a HOT update).
CREATE TABLE outbox (
  id bigint PRIMARY KEY,
  queue bigint NOT NULL,
  account bigint NOT NULL,
  received_at bigint NOT NULL,
  state text COLLATE "C" NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sending', 'held', 'dead')),
  due_at bigint,
  attempts bigint NOT NULL DEFAULT 0,
  ambiguous_since bigint,
  lease bigint,
  replayed_at bigint,
  rested_at bigint,
  reason text COLLATE "C",
  crashes bigint NOT NULL DEFAULT 0,
  cause text COLLATE "C",
  rank bigint GENERATED ALWAYS AS (least(received_at, ambiguous_since - 28800000)) STORED,
  resting text COLLATE "C"
    GENERATED ALWAYS AS (CASE WHEN state IN ('held', 'dead') THEN state END) STORED
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.2);
CREATE INDEX ready ON outbox (queue, rank, id) WHERE resting IS NULL AND due_at IS NULL;
CREATE INDEX waiting ON outbox (due_at) WHERE resting IS NULL AND due_at IS NOT NULL;
CREATE INDEX aging ON outbox (received_at) WHERE resting IS NULL AND due_at IS NOT NULL;
CREATE INDEX ambiguous ON outbox (ambiguous_since)
  WHERE resting IS NULL AND ambiguous_since IS NOT NULL;
CREATE INDEX resting ON outbox (rested_at, id) WHERE resting IS NOT NULL;
CREATE INDEX rested_for ON outbox (resting, queue, reason, id) WHERE resting IS NOT NULL;
CREATE INDEX resting_by_id ON outbox (id) WHERE resting IS NOT NULL;

-- What senders hold; `node` is theirs.
CREATE SEQUENCE lease_number;
CREATE TABLE lease (
  id bigint PRIMARY KEY,
  node bigint NOT NULL,
  queue bigint NOT NULL,
  claimed_at bigint NOT NULL,
  until bigint NOT NULL,
  open bigint NOT NULL,
  deliveries text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE TABLE attempt (
  id bigint PRIMARY KEY,
  at bigint NOT NULL,
  queue bigint NOT NULL,
  outcome text COLLATE "C" NOT NULL,
  status bigint,
  answer text COLLATE "C" NOT NULL,
  ambiguous boolean NOT NULL,
  size bigint NOT NULL
);
CREATE INDEX attempt_at ON attempt (at);

CREATE TABLE attempted (
  delivery bigint NOT NULL,
  attempt bigint NOT NULL,
  PRIMARY KEY (delivery, attempt)
);

CREATE TABLE discarded (
  delivery bigint PRIMARY KEY,
  at bigint NOT NULL,
  note text COLLATE "C" NOT NULL,
  ambiguous_since bigint,
  cause text COLLATE "C"
);

CREATE TABLE replaced (
  delivery bigint PRIMARY KEY,
  by bigint NOT NULL
);
CREATE INDEX replaced_by ON replaced (by);

CREATE TABLE denied (
  delivery bigint PRIMARY KEY,
  at bigint NOT NULL,
  reason text COLLATE "C" NOT NULL,
  cause text COLLATE "C"
);

CREATE TABLE pause (
  pixel text COLLATE "C" NOT NULL,
  event text COLLATE "C" NOT NULL,
  since bigint NOT NULL,
  cause text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  PRIMARY KEY (pixel, event)
);

CREATE TABLE closure (
  pixel text COLLATE "C" PRIMARY KEY,
  until bigint NOT NULL,
  reason text COLLATE "C" NOT NULL
);

CREATE TABLE alert (
  id text COLLATE "C" PRIMARY KEY,
  kind text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  opened_at bigint NOT NULL,
  reported_at bigint NOT NULL,
  unsent_phase text COLLATE "C",
  resolved_at bigint
);

CREATE TABLE acknowledgement (
  alert text COLLATE "C" PRIMARY KEY,
  at bigint NOT NULL,
  who text COLLATE "C" NOT NULL
);

CREATE TABLE mute (
  subject text COLLATE "C" PRIMARY KEY,
  until bigint NOT NULL,
  at bigint NOT NULL,
  who text COLLATE "C" NOT NULL,
  note text COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE traffic (
  source text COLLATE "C" NOT NULL,
  hour bigint NOT NULL,
  count bigint NOT NULL,
  first_at bigint NOT NULL,
  last_at bigint NOT NULL,
  received bigint NOT NULL,
  PRIMARY KEY (source, hour)
);

CREATE TABLE webhook_delivery (
  id text COLLATE "C" PRIMARY KEY,
  webhook text COLLATE "C" NOT NULL,
  at bigint NOT NULL,
  message text COLLATE "C" NOT NULL,
  verdict text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  receipt text COLLATE "C" NOT NULL,
  times bigint NOT NULL
);

CREATE TABLE straggler (
  delivery bigint PRIMARY KEY
);

CREATE TABLE pruning (
  id bigint PRIMARY KEY CHECK (id = 1),
  bodies bigint NOT NULL,
  histories bigint NOT NULL,
  key bytea NOT NULL,
  rested_at bigint NOT NULL
);
INSERT INTO pruning (id, bodies, histories, key, rested_at) VALUES (1, 0, 0, '', 0);

CREATE TABLE idempotency_key (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key bytea NOT NULL UNIQUE,
  request bytea NOT NULL,
  at bigint NOT NULL
);
CREATE INDEX idempotency_key_at ON idempotency_key (at);

CREATE TABLE ignored (
  day bigint NOT NULL,
  source text COLLATE "C" NOT NULL,
  endpoint text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  times bigint NOT NULL,
  PRIMARY KEY (day, source, endpoint, name, reason)
);

CREATE TABLE vault (
  name text COLLATE "C" PRIMARY KEY,
  sealed bytea NOT NULL
);

-- How far each [[sync]] is, and the objects that it has sent. The state is JSON, without persons.
CREATE TABLE sync_state (
  name text COLLATE "C" PRIMARY KEY,
  state text NOT NULL
);

-- When each key of a source was last used, to the minute.
CREATE TABLE source_key_use (
  source text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  used_at bigint NOT NULL,
  PRIMARY KEY (source, id)
);

-- X's results: each account, and its days. The state is JSON, without persons.
CREATE TABLE x_result (
  name text COLLATE "C" PRIMARY KEY,
  state text NOT NULL
);

CREATE TABLE replay_batch (
  id text COLLATE "C" PRIMARY KEY,
  at bigint NOT NULL,
  who text COLLATE "C" NOT NULL,
  pixel text COLLATE "C" NOT NULL,
  event text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  edit text COLLATE "C" NOT NULL,
  confirmed_at bigint,
  total bigint NOT NULL,
  parts bigint NOT NULL,
  done bigint NOT NULL,
  moved bigint NOT NULL,
  ended_at bigint,
  cancelled_by text COLLATE "C" NOT NULL,
  taken_back bigint NOT NULL
);

CREATE TABLE replay_part (
  batch text COLLATE "C" NOT NULL,
  place bigint NOT NULL,
  cause text COLLATE "C",
  reason text COLLATE "C" NOT NULL,
  deliveries text COLLATE "C" NOT NULL,
  refused text COLLATE "C" NOT NULL,
  PRIMARY KEY (batch, place)
);

CREATE TABLE consent (
  delivery bigint PRIMARY KEY,
  evidence bytea NOT NULL
);

CREATE TABLE opt_out (
  key bytea PRIMARY KEY,
  since bigint NOT NULL
);

CREATE TABLE consent_policy (
  source text COLLATE "C" PRIMARY KEY,
  version text COLLATE "C" NOT NULL
);

CREATE TABLE dedup_report (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  queue bigint NOT NULL,
  path text COLLATE "C" NOT NULL,
  conversion_id text COLLATE "C" NOT NULL,
  email_mark bigint,
  phone_mark bigint,
  click_mark bigint
);
CREATE INDEX dedup_report_at ON dedup_report (at);
CREATE INDEX dedup_report_pixel ON dedup_report (queue, conversion_id, at) WHERE path IN ('pixel', 'blocked');
CREATE INDEX dedup_report_blocked ON dedup_report (at) WHERE path = 'blocked';

CREATE TABLE "user" (
  name text COLLATE "C" PRIMARY KEY,
  role text COLLATE "C" NOT NULL,
  pixels text COLLATE "C",
  password text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  password_at bigint NOT NULL,
  code_since bigint,
  code_step bigint NOT NULL,
  recovery text COLLATE "C" NOT NULL
);

CREATE TABLE session (
  digest bytea PRIMARY KEY,
  "user" text COLLATE "C" NOT NULL,
  begun_at bigint NOT NULL,
  seen_at bigint NOT NULL,
  address text COLLATE "C" NOT NULL,
  agent text COLLATE "C" NOT NULL
);

CREATE TABLE api_key (
  id text COLLATE "C" PRIMARY KEY,
  name text COLLATE "C" NOT NULL,
  digest bytea NOT NULL UNIQUE,
  scopes text COLLATE "C" NOT NULL,
  pixels text COLLATE "C",
  created_at bigint NOT NULL,
  made_by text COLLATE "C" NOT NULL,
  revoked_at bigint
);

CREATE TABLE audit_event (
  number bigint PRIMARY KEY,
  at bigint NOT NULL,
  who text COLLATE "C" NOT NULL,
  what text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  detail text COLLATE "C" NOT NULL,
  hash bytea NOT NULL
);

-- The counts of the console, in a row for each slot, as in `tally`.
CREATE TABLE flow (
  span bigint NOT NULL,
  at bigint NOT NULL,
  account bigint NOT NULL,
  slot bigint NOT NULL,
  received bigint NOT NULL,
  duplicate bigint NOT NULL,
  suppressed bigint NOT NULL,
  rejected bigint NOT NULL,
  delivered bigint NOT NULL,
  dead bigint NOT NULL,
  PRIMARY KEY (span, at, account, slot)
) WITH (fillfactor = 70);

CREATE TABLE waited (
  span bigint NOT NULL,
  at bigint NOT NULL,
  account bigint NOT NULL,
  slot bigint NOT NULL, -- of durations
  writer bigint NOT NULL,
  deliveries bigint NOT NULL,
  PRIMARY KEY (span, at, account, slot, writer)
) WITH (fillfactor = 70);

CREATE TABLE matched (
  day bigint NOT NULL,
  account bigint NOT NULL,
  queue bigint NOT NULL,
  slot bigint NOT NULL,
  conversions bigint NOT NULL,
  click bigint NOT NULL,
  email bigint NOT NULL,
  phone bigint NOT NULL,
  pair bigint NOT NULL,
  two bigint NOT NULL,
  one_short bigint NOT NULL,
  email_only bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (day, account, queue, slot)
) WITH (fillfactor = 70);

CREATE TABLE flaw (
  day bigint NOT NULL,
  account bigint NOT NULL,
  queue bigint NOT NULL,
  code text COLLATE "C" NOT NULL,
  slot bigint NOT NULL,
  times bigint NOT NULL,
  wins bigint NOT NULL,
  shape text COLLATE "C" NOT NULL,
  delivery bigint,
  rejected bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (day, account, queue, code, slot)
) WITH (fillfactor = 70);

CREATE TABLE norm (
  pixel text COLLATE "C" NOT NULL,
  event text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  seen bigint NOT NULL,
  zeros bigint NOT NULL,
  center double precision NOT NULL,
  spread double precision NOT NULL,
  first text COLLATE "C" NOT NULL,
  PRIMARY KEY (pixel, event, currency)
);

CREATE TABLE flagged (
  delivery bigint PRIMARY KEY,
  kind text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  usual text COLLATE "C" NOT NULL,
  account bigint NOT NULL DEFAULT 0
);

CREATE INDEX flagged_by_account ON flagged (account, delivery);

CREATE TABLE flawed (
  delivery bigint NOT NULL,
  code text COLLATE "C" NOT NULL,
  PRIMARY KEY (delivery, code)
);

CREATE TABLE amended (
  delivery bigint NOT NULL,
  at bigint NOT NULL,
  queue bigint NOT NULL,
  body bytea NOT NULL,
  note text COLLATE "C" NOT NULL,
  PRIMARY KEY (delivery, at)
);

CREATE TABLE called (
  delivery bigint PRIMARY KEY,
  name text COLLATE "C" NOT NULL
);
CREATE INDEX so_called ON called (name, delivery);

CREATE TABLE value_change (
  delivery bigint PRIMARY KEY,
  rule text COLLATE "C" NOT NULL,
  value_before text COLLATE "C",
  currency_before text COLLATE "C",
  value_after text COLLATE "C",
  currency text COLLATE "C",
  problem text COLLATE "C",
  detail text COLLATE "C" NOT NULL
);
CREATE INDEX failed_rules ON value_change (delivery) WHERE problem IS NOT NULL;

CREATE TABLE known_identifier (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text COLLATE "C" NOT NULL,
  mark text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  value text COLLATE "C" NOT NULL,
  whose text COLLATE "C" NOT NULL,
  at bigint NOT NULL,
  seen_at bigint NOT NULL,
  origin text COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX known_of_key ON known_identifier (key, mark);
CREATE INDEX known_since ON known_identifier (kind, seen_at);

CREATE TABLE joined (
  delivery bigint PRIMARY KEY,
  keys text COLLATE "C" NOT NULL,
  whose text COLLATE "C" NOT NULL,
  since bigint NOT NULL,
  joined_at bigint,
  kinds text COLLATE "C" NOT NULL DEFAULT '',
  gained text COLLATE "C" NOT NULL DEFAULT '[]'
);

CREATE TABLE rejection (
  id bigint PRIMARY KEY,
  at bigint NOT NULL,
  nth bigint NOT NULL,
  account bigint NOT NULL,
  details bytea NOT NULL
);
CREATE INDEX rejection_at ON rejection (at, account, nth);

CREATE TABLE failed_sign_in (
  key bytea PRIMARY KEY,
  times bigint NOT NULL,
  at bigint NOT NULL
);
CREATE INDEX failed_sign_in_at ON failed_sign_in (at);
