"""A made-up second version of the schemas, until there is a real one."""

from twite.stores.postgres import schema as postgres_schema
from twite.stores.sqlite.engine import schema as sqlite_schema

SQLITE = """
CREATE TABLE newer (id INTEGER PRIMARY KEY);
ALTER TABLE conversion ADD COLUMN newer INTEGER NOT NULL DEFAULT 0;
UPDATE conversion SET newer = id WHERE suppressed IS NULL;
CREATE INDEX newer_conversion ON conversion (newer) WHERE newer > 0;
"""
# It rewrites a table that gateways use.
POSTGRES = "ALTER TABLE outbox ADD newer text GENERATED ALWAYS AS (state) STORED"


def use_on_postgres(monkeypatch):
    """Make this process a version with one more migration of PostgreSQL."""
    _use(monkeypatch, postgres_schema, POSTGRES)


def use_on_sqlite(monkeypatch):
    """Make this process a version with one more migration of SQLite."""
    _use(monkeypatch, sqlite_schema, SQLITE)
    # The cached schema would be that of another version.
    migrated = sqlite_schema._migrated.__wrapped__  # noqa: SLF001
    monkeypatch.setattr(sqlite_schema, "_migrated", migrated)


def _use(monkeypatch, schema, statements):
    present = schema.migrations()
    newer = [*present, (present[-1][0] + 1, statements)]
    monkeypatch.setattr(schema, "migrations", lambda: newer)
