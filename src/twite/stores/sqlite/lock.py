"""One owner a database file: an advisory lock that dies with its process."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from twite.domain.errors import StoreInUse, StoreUnusable


class OwnerLock:
    """Holds `<database>.lock`, with the owner's process id in it, until it is released.

    The file stays: removing it would let two owners lock two files of one name.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, database: str) -> Self:
        """Take the lock. Raises StoreInUse, with the owner where known, when another has it."""
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
        # The number is for people: a full disk that does not take it has an owner all the same.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let another own the database."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _owner(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
