"""The ledger on SQLite: one file, one owner, one writer thread, any number of readers."""

from twite.stores.sqlite.reader import SQLiteReader
from twite.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteReader", "SQLiteStore"]
