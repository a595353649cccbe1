"""Classify SQLite errors: damaged database, full disk, or failing disk."""

import sqlite3
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Final

from twite.domain.errors import StoreUnusable

CURE: Final = "Save the undamaged rows with twite recover, or restore a backup"

# Result codes. [sqlite.org/rescode.html]
_CORRUPT: Final = 11
_FULL: Final = 13
_NOTADB: Final = 26
_IOERR: Final = 10
_IOERR_WRITE: Final = _IOERR | (3 << 8)
_IOERR_FSYNC: Final = _IOERR | (4 << 8)
_IOERR_DIR_FSYNC: Final = _IOERR | (5 << 8)
# The log's index, a file in its own right, cannot grow.
_IOERR_SHMSIZE: Final = _IOERR | (19 << 8)


def is_damage(error: BaseException) -> bool:
    """Return whether an error of SQLite's, or of who reads its texts, tells of a damaged file."""
    if isinstance(error, UnicodeError) or str(error).startswith("Could not decode"):
        return True
    return isinstance(error, sqlite3.DatabaseError) and (_code(error) & 0xFF) == _CORRUPT


def is_full(error: BaseException | None) -> bool:
    """Return whether the disk takes no more: it is full, or a quota or a limit is reached."""
    if error is None:
        return False
    code = _code(error)
    if (code & 0xFF) == _FULL or code in {_IOERR_WRITE, _IOERR_SHMSIZE}:
        return True
    if isinstance(error, OSError) and error.errno in {ENOSPC, EDQUOT, EFBIG}:
        return True
    return is_full(error.__cause__)


def is_final(error: BaseException | None) -> bool:
    """Return whether the process must end because the store's state is unknown.

    The file is damaged, or the system did not confirm that what was written is on the disk: after
    that it may say yes to the next question and have lost what the first was about.
    """
    if error is None:
        return False
    code = _code(error)
    if (code & 0xFF) in {_CORRUPT, _NOTADB} or code in {_IOERR_FSYNC, _IOERR_DIR_FSYNC}:
        return True
    return is_final(error.__cause__)


def damaged(path: str, error: object) -> StoreUnusable:
    """Return the error for the operator."""
    return StoreUnusable(path=path, reason=f"it is damaged ({error})", cure=CURE)


def final(path: str, error: BaseException) -> StoreUnusable:
    """Return the error with which the process ends."""
    if isinstance(error, StoreUnusable):
        return error
    if (_code(error) & 0xFF) in {_CORRUPT, _NOTADB}:
        return damaged(path, error)
    return StoreUnusable(
        path=path,
        reason=f"the disk did not confirm a write ({error})",
        cure="Check the disk and the system's log, then start again: the file is checked first",
    )


def _code(error: BaseException) -> int:
    code = getattr(error, "sqlite_errorcode", 0)
    return code if isinstance(code, int) else 0
