"""One owner per database: a lock of its path and a lock of the file itself.

The lock of the path is on `<database>.lock`. It does not notice a file that has a second path (a
mount of the file alone, a new name while the owner runs), or a lock file that was deleted. So the
owner also locks a byte of the database file, which is the same file under every path.

SQLite locks the same file with POSIX locks. These belong to the process, and the process loses all
of them when it closes any descriptor of the file. [sqlite.org/howtocorrupt.html,
"POSIX advisory locks canceled by a separate thread doing close()"]
So:

- The byte's lock belongs to its descriptor (an open file description lock): SQLite's descriptors
  do not drop it, and it ends with the process. A forked child would share it. The gateway starts
  its children with `exec`, which closes the descriptor.
- The byte is behind the largest database, so the lock never meets SQLite's, which are at 1 GiB. A
  `flock` of the database would cover the whole file where it is emulated with byte locks (NFS,
  SMB) or shares their table (BSD, macOS), and would lock SQLite out.
- Only a process without a connection to the file opens and closes a descriptor of it:
  `_HELD` knows the files that this process owns, and the owner releases its lock last.
"""

import errno
import fcntl
import os
import re
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from twite.domain.errors import StoreInUse, StoreUnusable
from twite.stores.sqlite.engine.connection import create

# `struct flock` of Linux: kind, origin, first byte, number of bytes, process.
_RANGE: Final = struct.Struct("hhqqi0q")
# A byte of the log's index that every connection locks. [sqlite.org/walformat.html]
_CONNECTED: Final = 128
_TAKEN: Final = frozenset({errno.EAGAIN, errno.EACCES})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT: Final = 4
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")
# Device and number of the files that this process owns.
_HELD: Final[set[tuple[int, int]]] = set()


class OwnerLock:
    """Holds `<database>.lock`, with the owner's process id in it, and a byte of the database.

    The lock file is next to the actual database file, even if symbolic links lead there. It is
    never removed: otherwise, two owners could each lock a different file with this name.
    """

    BYTE: Final = 1 << 62

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._database = -1
        self._held: tuple[int, int] | None = None

    @classmethod
    def take(cls, database: str, *, creating: bool = False) -> Self:
        """Take the lock; with `creating`, create a missing database first.

        Raises StoreInUse, with the owner if known, if another process has it, and StoreUnusable.
        """
        database = os.path.realpath(database)
        path = f"{database}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnusable(
                database,
                f"its lock file cannot be opened ({error.strerror})",
                "The folder must exist and be writable",
            ) from error
        lock = cls(descriptor)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreInUse(path=database, owner=_owner(Path(path))) from error
            refuse_second_name(database)
            if creating:
                create(database)
            lock._lock_database(database)
        except BaseException:
            lock._close()
            raise
        # The process id is only information: on a full disk, the lock holds without it.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return lock

    def _lock_database(self, database: str) -> None:
        held = _file(database)
        if held is None or sys.platform != "linux":
            return
        if held in _HELD:
            raise StoreInUse(path=database, owner=os.getpid())
        try:
            self._database = os.open(database, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StoreUnusable(
                database,
                f"it cannot be opened ({error.strerror})",
                "This user must be able to read and write it",
            ) from error
        try:
            fcntl.fcntl(self._database, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, self.BYTE))
        except OSError as error:
            if error.errno in _TAKEN:
                raise StoreInUse(path=database, owner=None) from error
            # The file system has no such locks: the lock of the path remains.
        self._held = held
        _HELD.add(held)

    def release(self) -> None:
        """Release the lock. Close all connections to the database first."""
        os.ftruncate(self._descriptor, 0)
        self._close()

    def _close(self) -> None:
        if self._held is not None:
            _HELD.discard(self._held)
        if self._database >= 0:
            os.close(self._database)
        os.close(self._descriptor)


def has_owner(database: str) -> bool:
    """Return whether this process or another one owns the database."""
    database = os.path.realpath(database)
    if _file(database) in _HELD or _is_locked(database, OwnerLock.BYTE):
        return True
    return _is_path_locked(database)


def refuse_other_path(database: str) -> None:
    """Raise StoreUnusable if a process owns the file under another path.

    There, its write-ahead log would be missing, so a reader would see an old or mixed state. Call
    it without a connection to the file.
    """
    database = os.path.realpath(database)
    if _file(database) in _HELD:
        return
    if _is_locked(database, OwnerLock.BYTE) and not _is_owned_here(database):
        raise StoreUnusable(
            database,
            "a process uses this file under another path, and its write-ahead log is there",
            "Use the same path as that process. In a container, mount the folder of the "
            "database, not the file",
        )


def refuse_second_name(database: str) -> None:
    """Raise StoreUnusable for a file with a second hard link, or mounted without its folder.

    Each name would have its own lock and write-ahead log.
    [sqlite.org/howtocorrupt.html#multiple_links_to_the_same_file]
    """
    database = os.path.realpath(database)
    names = _names(Path(database))
    if names > 1:
        raise StoreUnusable(
            database,
            f"the file has {names} hard links, and SQLite writes a log for each name",
            "Remove the other hard links. To list all, run: find / -xdev -samefile FILE",
        )
    if os.fsencode(database) in _mount_points():
        raise StoreUnusable(
            database,
            "the file is mounted by itself, and its write-ahead log and its lock would be "
            "outside the mount",
            "Mount the folder of the database, not the file",
        )


def _mount_points() -> set[bytes]:
    """Return the mount points of this process; none where the system has no list."""
    try:
        mounts = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return set()
    return {_unescaped(mount.split(b" ")[_MOUNT_POINT]) for mount in mounts}


def _is_owned_here(database: str) -> bool:
    """Return whether the owner of the file uses this path.

    The owner keeps the lock file locked. If somebody deleted or replaced that, the owner's
    connections still lock a byte of the log's index next to the database.
    """
    return _is_path_locked(database) or _is_locked(f"{database}-shm", _CONNECTED)


def _is_path_locked(database: str) -> bool:
    try:
        descriptor = os.open(f"{database}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_locked(path: str, byte: int) -> bool:
    """Return whether another process locks a byte of a file. Call it without a connection."""
    if sys.platform != "linux":
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # the caller reports it
        return False
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK, byte))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return bool(_RANGE.unpack(found)[0] != fcntl.F_UNLCK)


def _lock(kind: int, byte: int) -> bytes:
    return _RANGE.pack(kind, os.SEEK_SET, byte, 1, 0)


def _unescaped(path: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), path)


def _file(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
