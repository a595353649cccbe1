"""Run `twite` as a later version with one more migration of PostgreSQL and of SQLite.

python newer_gateway.py serve --config twite.toml
"""

import subprocess
import sys

from twite.cli import main
from twite.stores.postgres import schema
from twite.stores.sqlite.engine import schema as sqlite_schema

# Like an earlier migration, it rewrites tables that all gateways use, in an order in which no
# gateway locks them. It takes long enough that requests have to wait.
MIGRATION = """
ALTER TABLE outbox ADD newer text
  GENERATED ALWAYS AS (CASE WHEN state = 'held' THEN state END) STORED;
SELECT pg_sleep(2);
ALTER TABLE conversion ADD newer bigint NOT NULL DEFAULT 0;
ALTER TABLE lease ADD newer text GENERATED ALWAYS AS (deliveries) STORED;
CREATE INDEX newer_outbox ON outbox (queue, id) WHERE newer IS NULL;
CREATE TABLE newer (id bigint PRIMARY KEY);
"""
SQLITE = """
CREATE TABLE newer (id INTEGER PRIMARY KEY);
ALTER TABLE conversion ADD COLUMN newer INTEGER NOT NULL DEFAULT 0;
CREATE INDEX newer_conversion ON conversion (newer) WHERE newer > 0;
"""


class NewerVersion(subprocess.Popen):
    """Starts a gateway that runs this file."""

    def __init__(self, command, **more):
        super().__init__([sys.executable, __file__, *command[3:]], **more)


if __name__ == "__main__":
    for engine, statements in ((schema, MIGRATION), (sqlite_schema, SQLITE)):
        present = engine.migrations()
        more = [*present, (present[-1][0] + 1, statements)]
        engine.migrations = lambda more=more: more
    main()
