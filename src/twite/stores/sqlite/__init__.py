"""The SQLite store: one file, one owner, one writer thread, any number of readers."""

from twite.stores.sqlite.store import SQLiteReader, SQLiteStore

__all__ = ["SQLiteReader", "SQLiteStore"]
