"""A database whose pages make no sense."""

import sqlite3
from typing import Final

from twite.domain.errors import StoreUnusable

# The result code of a malformed file. [sqlite.org/rescode.html]
_CORRUPT: Final = 11


def is_damage(error: BaseException) -> bool:
    """Return whether an error of SQLite's tells of a damaged file."""
    code = getattr(error, "sqlite_errorcode", 0)
    return isinstance(error, sqlite3.DatabaseError) and (code & 0xFF) == _CORRUPT


def damaged(path: str, error: BaseException) -> StoreUnusable:
    """Return the error for whoever runs Twite."""
    return StoreUnusable(
        path=path,
        reason=f"it is damaged ({error})",
        cure="Keep the file for looking into it, and restore a backup in its place",
    )
