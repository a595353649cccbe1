"""A disk whose Nth operation of a kind fails, under SQLite."""

import sqlite3
from pathlib import Path

import apsw
from apsw_connection import Connection, Cursor

CODES = {
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "full": apsw.SQLITE_FULL,
    "sync": apsw.SQLITE_IOERR_FSYNC,
}


class FailingVFS(apsw.VFS):
    """Fails the `nth` operation of a kind, counted from `arm`, once."""

    def __init__(self) -> None:
        super().__init__("failing", "")
        self.kind, self.left, self.fired = "", 0, False

    def arm(self, kind: str, nth: int) -> None:
        self.kind, self.left, self.fired = kind, nth, False

    def disarm(self) -> None:
        self.kind = ""

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        return FailingFile(self, name, flags)

    def pass_or_fail(self, kind: str) -> None:
        if kind != ("write" if self.kind == "full" else self.kind):
            return
        self.left -= 1
        if self.left == 0:
            self.fired = True
            error = apsw.FullError if self.kind == "full" else apsw.IOError
            failure = error(f"this {kind} fails")
            failure.extendedresult = CODES[self.kind]
            raise failure


class FailingFile(apsw.VFSFile):
    def __init__(self, vfs: FailingVFS, name, flags) -> None:
        super().__init__("", name, flags)
        self._vfs = vfs

    def excepthook(self, kind, error, trace) -> None:
        """No error is raised."""

    def xRead(self, amount, offset):  # noqa: N802 - as above
        self._vfs.pass_or_fail("read")
        return super().xRead(amount, offset)

    def xWrite(self, content, offset):  # noqa: N802 - as above
        self._vfs.pass_or_fail("write")
        super().xWrite(content, offset)

    def xSync(self, flags):  # noqa: N802 - as above
        self._vfs.pass_or_fail("sync")
        super().xSync(flags)


class FailingConnection(Connection):
    """A `Connection` that raises the errors of Python's own library."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, vfs="failing")

    def execute(self, statement: str, values: object = ()) -> Cursor:
        try:
            return super().execute(statement, values)
        except apsw.Error as error:
            reported = sqlite3.OperationalError(str(error))
            reported.sqlite_errorcode = getattr(error, "extendedresult", 0) or getattr(
                error, "result", 0
            )
            raise reported from error
