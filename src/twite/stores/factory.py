"""Store engines by the scheme of `store.url`. Only this module knows all engines."""

from collections.abc import Mapping
from typing import Final

from twite.gateway.ports.store import StoreEngine
from twite.stores.postgres.postgres_engine import PostgresEngine
from twite.stores.sqlite.sqlite_engine import SQLiteEngine

ENGINES: Final[Mapping[str, StoreEngine]] = {
    "sqlite": SQLiteEngine(),
    "postgresql": PostgresEngine(),
}
