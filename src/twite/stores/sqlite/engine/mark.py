"""Epoch file: the store's progress, in `<database>.epoch`, to detect a restored older copy.

A database that is put back from a backup does not know what was sent since. This file does: it
counts claims and settlements ("turns") as the database does, after each commit and before anything
of it is sent. A database that has seen fewer turns than the file is an older copy of itself.

The file is written in place, and synced about once a second: a killed process leaves it up to date,
and after a power cut it may be behind the database, never ahead of it.
"""

import contextlib
import hashlib
import os
import re
import threading
from pathlib import Path
from typing import Final

import msgspec

_LINE: Final = (
    "twite-epoch 2 {deployment} {epoch:020d} {turn:020d} {conversions:020d} {moved:020d}\n"
)
# The first version has no `moved`.
_READ: Final = re.compile(
    rb"twite-epoch [12] ([0-9a-f]{16}) ([0-9]{20}) ([0-9]{20}) ([0-9]{20})(?: ([0-9]{20}))?\n"
)


class StoreMark(msgspec.Struct, frozen=True, kw_only=True):
    """`deployment` tells stores apart; `conversions` is the highest id given to one.

    `moved` is a turn that the database file itself has reached, without its log: a file that is
    behind it is another copy, and the log beside it is not its own.
    """

    deployment: str
    epoch: int
    turn: int
    conversions: int
    moved: int = 0


def deployment_of(salt: bytes) -> str:
    """Return a 16-character id of a deployment that does not reveal its salt."""
    return hashlib.blake2b(salt, digest_size=8, person=b"twite-mark").hexdigest()


def mark_path(database: str) -> Path:
    """Return where the file is."""
    return Path(f"{database}.epoch")


def read_mark(database: str) -> StoreMark | None:
    """Read it; None where there is none, or none that makes sense."""
    try:
        match = _READ.fullmatch(mark_path(database).read_bytes())
    except OSError:
        return None
    if match is None:
        return None
    return StoreMark(
        deployment=match[1].decode(),
        epoch=int(match[2]),
        turn=int(match[3]),
        conversions=int(match[4]),
        moved=int(match[5] or 0),
    )


def write_mark(database: str, mark: StoreMark) -> None:
    """Write it anew, durably, for its owner's eyes only. Raises OSError."""
    path = mark_path(database)
    draft = path.with_name(f"{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, _spelled(mark))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class MarkKeeper:
    """Keeps the file up to date.

    `note` is for the writer's thread, all else for that of the checkpoints.
    """

    def __init__(self, database: str, mark: StoreMark) -> None:
        """Raises OSError where the file is not there."""
        self._mark = mark
        self._descriptor = os.open(mark_path(database), os.O_WRONLY | os.O_CLOEXEC)
        self._unsynced = False
        self._lock = threading.Lock()

    @property
    def turn(self) -> int:
        """A turn that is committed."""
        return self._mark.turn

    def note(self, *, turn: int, conversions: int) -> None:
        """Say how far the store has come."""
        if (turn, conversions) == (self._mark.turn, self._mark.conversions):
            return
        with self._lock:
            self._write(msgspec.structs.replace(self._mark, turn=turn, conversions=conversions))

    def moved(self, turn: int) -> None:
        """Say that the database file has reached a turn, and that this is durable."""
        if turn == self._mark.moved:
            return
        with self._lock:
            self._write(msgspec.structs.replace(self._mark, moved=turn))

    def _write(self, mark: StoreMark) -> None:
        self._mark = mark
        # A disk that does not take this does not take the next commit either, and says so there.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _spelled(mark), 0)
        self._unsynced = True

    def sync(self) -> None:
        """Make it durable."""
        if self._unsynced:
            self._unsynced = False
            with contextlib.suppress(OSError):
                os.fdatasync(self._descriptor)

    def close(self) -> None:
        self.sync()
        os.close(self._descriptor)


def _spelled(mark: StoreMark) -> bytes:
    return _LINE.format(**msgspec.structs.asdict(mark)).encode("ascii")
