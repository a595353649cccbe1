"""Lock file: one owner per database, by an advisory lock that ends with its process."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from twite.domain.errors import StoreInUse, StoreUnusable


class OwnerLock:
    """Holds `<database>.lock`, with the owner's process id in it, until it is released.

    The lock file is next to the actual database file, even if symbolic links lead there. It is
    never removed: otherwise, two owners could each lock a different file with this name.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, database: str) -> Self:
        """Take the lock.

        Raises StoreInUse, with the owner if known, if another process has it. Raises StoreUnusable
        if the file has a second name (hard link), which would have its own lock and write-ahead
        log. [sqlite.org/howtocorrupt.html#multiple_links_to_the_same_file]
        """
        database = os.path.realpath(database)
        path = f"{database}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnusable(
                path=database,
                reason=f"its lock file cannot be opened ({error.strerror})",
                cure="The folder must exist and be writable",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StoreInUse(path=database, owner=_owner(Path(path))) from error
        names = _names(Path(database))
        if names > 1:
            os.close(descriptor)
            raise StoreUnusable(
                path=database,
                reason=f"the file has {names} hard links, and SQLite writes a log for each name",
                cure="Remove the other hard links. To list all, run: find / -xdev -samefile FILE",
            )
        # The process id is only information: on a full disk, the lock holds without it.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _names(database: Path) -> int:
    try:
        return database.stat().st_nlink
    except OSError:
        return 0


def _owner(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
