"""Read the write-ahead log (WAL) file without SQLite. [sqlite.org/walformat.html]"""

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import structs

from twite.domain.plural import plural
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine.checkpoints import (
    StoreMark,
    deployment_of,
    read_mark,
    write_mark,
)
from twite.stores.sqlite.engine.connection import sync_folder
from twite.stores.sqlite.engine.deployment import DeploymentRow
from twite.stores.sqlite.engine.page_records import (
    TABLE_LEAF,
    DamagedPage,
    record_values,
    varint,
)

PAGE_SIZE: Final = 4096
_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_MAGIC: Final = 0x377F0682
_MASK: Final = 0xFFFFFFFF
# This many consecutive frames of another log mark the end of this one; fewer count as damage.
_MOST_FOREIGN: Final = 3
# The format versions for writing and reading: 1 is a rollback journal, 2 a log.
# [sqlite.org/fileformat2.html#file_format_version_numbers]
_FORMAT: Final = slice(18, 20)
_NEVER_LOGGED: Final = b"\x01\x01"
# The header of a leaf page: kind, free block, rows, content, fragments, and the offset of the first
# row.
_LEAF: Final = struct.Struct(">BHHHBH")


class LogFrame(NamedTuple):
    """One page in the log.

    `pages` is the size of the database if the frame ends a commit, else 0.
    """

    place: int
    page: int
    pages: int
    sums: tuple[int, int]


class LogFile:
    """A log that has a header and at least one frame."""

    def __init__(self, content: bytes | mmap) -> None:
        self._content = content
        magic, _, page_size, _, *rest = _HEADER.unpack_from(content)
        self.begins_well = magic & ~1 == _MAGIC and page_size == PAGE_SIZE
        self._order = "big" if magic & 1 else "little"
        self.page_size = PAGE_SIZE
        self._sums = (0, 0)
        if self.begins_well:
            self._sums = self._add((0, 0), content[: _HEADER.size - 8])
            self.begins_well = self._sums == (rest[2], rest[3])
        self.salts = (rest[0], rest[1])
        if not self.begins_well:
            # The header is damaged, so take the salts from a frame: all frames of a log have the
            # same.
            self._order = "little"
            self.salts = _FRAME.unpack_from(content, _HEADER.size)[2:4]

    def headers(self, *, after: int = 0) -> list[LogFrame]:
        """Return the frames of this log, intact or not, without the first `after` ones."""
        return list(self._frames(after))

    def page(self, frame: LogFrame) -> bytes:
        start = self._at(frame.place) + _FRAME.size
        return self._content[start : start + self.page_size]

    def first_commit(self) -> list[LogFrame]:
        """Return the frames of the first commit; none if one is damaged."""
        found: list[LogFrame] = []
        sums = self._sums
        for frame in self._frames(0) if self.begins_well else ():
            start = self._at(frame.place)
            sums = self._add(sums, self._content[start : start + 8] + self.page(frame))
            if frame.place != len(found) or sums != frame.sums:
                break
            found.append(frame)
            if frame.pages:
                return found
        return []

    def sound(self) -> tuple[dict[int, bytes], bool]:
        """Return the newest intact version of each committed page.

        Also return whether all frames are intact. The checksum of a frame continues that of the
        previous frame; it covers the page, but not the salts. After a damaged frame, the chain is
        continued both from its stored and from its computed checksum, so a flipped bit damages only
        its own page.
        """
        pages: dict[int, bytes] = {}
        pending: dict[int, bytes] = {}
        whole = True
        last = max((frame.place for frame in self._frames(0)), default=-1)
        stored: tuple[int, int] | None = self._sums if self.begins_well else None
        computed: tuple[int, int] | None = None
        last_frame: LogFrame | None = None
        for place in range((len(self._content) - _HEADER.size) // (_FRAME.size + self.page_size)):
            frame = self._frame(place)
            content = self.page(frame)
            added = self._content[self._at(place) : self._at(place) + 8] + content
            sums = None if stored is None else self._add(stored, added)
            continued = sums == frame.sums
            other = None if continued or computed is None else self._add(computed, added)
            if other is not None and other == frame.sums:
                # In the previous frame, only the checksums were damaged: its page is intact.
                assert last_frame is not None  # noqa: S101 - `computed` is that frame's
                pending[last_frame.page] = self.page(last_frame)
                continued = True
            if place > last and not continued:
                break
            if continued:
                pending[frame.page] = content
            whole = whole and continued and self._is_own(place)
            stored, computed, last_frame = frame.sums, None if continued else sums, frame
            if frame.pages:
                pages |= pending
                pending = {}
        return pages, whole

    def _frames(self, after: int) -> Iterator[LogFrame]:
        place, foreign = after, 0
        while self._at(place + 1) <= len(self._content) and foreign < _MOST_FOREIGN:
            if self._is_own(place):
                foreign = 0
                yield self._frame(place)
            else:
                foreign += 1
            place += 1

    def _frame(self, place: int) -> LogFrame:
        page, pages, _, _, *sums = _FRAME.unpack_from(self._content, self._at(place))
        return LogFrame(place, page, pages, (sums[0], sums[1]))

    def _is_own(self, place: int) -> bool:
        """Whether a frame has this log's salts, and is not left over from a former log."""
        return _FRAME.unpack_from(self._content, self._at(place))[2:4] == self.salts

    def _at(self, place: int) -> int:
        return _HEADER.size + place * (_FRAME.size + self.page_size)

    def _add(self, sums: tuple[int, int], content: bytes) -> tuple[int, int]:
        even, other = sums
        mark = ">" if self._order == "big" else "<"
        words = iter(struct.unpack(f"{mark}{len(content) // 4}I", content))
        for first, second in zip(words, words, strict=True):
            even = (even + first + other) & _MASK
            other = (other + second + even) & _MASK
        return even, other


def log_of(database: str) -> LogFile | None:
    """Read the log of a database; None if it is missing or empty."""
    try:
        with Path(f"{database}-wal").open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < _HEADER.size + _FRAME.size + PAGE_SIZE:
                return None
            return LogFile(mmap(file.fileno(), size, access=ACCESS_READ))
    except FileNotFoundError:
        return None


class _StrayLog(NamedTuple):
    """A log of another copy. `turn` is that copy's turn if it is of the same store, else 0."""

    why: str
    turn: int
    is_older: bool = False


def stray_log(database: str) -> str | None:
    """Return why the log next to a database belongs to another copy; None if the log is its own.

    SQLite applies any log that it finds next to a database, so a backup copied over a database
    whose process was killed would become a mixture of both.
    [sqlite.org/howtocorrupt.html#_backup_or_restore_while_a_transaction_is_active]
    No process may have the database open. Changes nothing.
    """
    stray = _stray_log(database)
    return None if stray is None else stray.why


def _stray_log(database: str) -> _StrayLog | None:
    log = log_of(database)
    if log is None:
        return None
    try:
        with Path(database).open("rb") as opened:
            # `twite backup` marks its file as one that needs no log, and SQLite changes the mark
            # before it creates a log.
            is_backup = opened.read(_FORMAT.stop)[_FORMAT] == _NEVER_LOGGED
    except FileNotFoundError:
        return None
    file = _without_log(database)
    first, last = (None, None) if file is None else _first_and_last(log, file.page)
    if file is not None and last is not None and last.deployment != file.deployment:
        last = None
    if is_backup:
        why = "the database is a backup and the log next to it belongs to the previous database"
        return _StrayLog(why, 0 if last is None else last.turn)
    return None if file is None else _compared(file, first, last, read_mark(database))


def _compared(
    progress: "_Progress",
    first: "_Progress | None",
    last: "_Progress | None",
    mark: StoreMark | None,
) -> _StrayLog | None:
    """Compare the commit numbers: a database's own log continues where its file ends.

    `first` and `last` are the first and the last commit of the log.
    """
    if first is not None and first.deployment != progress.deployment:
        return _StrayLog("the log next to the database belongs to a different store", 0)
    turn = 0 if last is None else last.turn
    missing = None
    if mark is not None and mark.deployment == progress.deployment and mark.moved > progress.turn:
        missing = f"{mark.moved - progress.turn} steps"
    elif first is not None and first.commits > progress.commits + 1:
        missing = f"{first.commits - progress.commits - 1} commits"
    if missing is not None:
        why = (
            "the database was replaced by an older copy, but the log next to it is from the "
            f"previous database. {missing} are missing from both"
        )
        return _StrayLog(why, turn)
    if last is None or last.commits >= progress.commits:
        return None
    why = (
        "the log next to the database is older than the database: "
        f"{plural(progress.commits - last.commits, 'commit is', 'commits are')} missing from it"
    )
    return _StrayLog(why, turn, is_older=True)


class _Progress(NamedTuple):
    """The content of the deployment row, and its page."""

    deployment: str
    turn: int
    commits: int
    page: int


def _without_log(database: str) -> _Progress | None:
    """Return the state of the file without its log; None if it is unknown."""
    uri = f"{Path(database).resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            salt, turn, commits, root = connection.execute(query("progress")).fetchone()
            return _Progress(deployment_of(salt), int(turn), int(commits), int(root))
    except (sqlite3.Error, UnicodeError, TypeError, ValueError):
        return None


def _first_and_last(log: LogFile, root: int) -> tuple[_Progress | None, _Progress | None]:
    """Return the states after the first and the last commit of the log; None for a damaged one."""
    first = [frame for frame in log.first_commit() if frame.page == root]
    frames = log.headers()
    end = max((frame.place for frame in frames if frame.pages), default=-1)
    last = [frame for frame in frames if frame.page == root and frame.place <= end]
    return (
        _progress_in(log.page(first[-1]), root) if first else None,
        _progress_in(log.page(last[-1]), root) if last else None,
    )


def _progress_in(page: bytes, root: int) -> _Progress | None:
    """Read the page of the table `deployment`, which has one row."""
    kind, _, rows, _, _, place = _LEAF.unpack_from(page)
    if (kind, rows) != (TABLE_LEAF, 1):
        return None
    try:
        size, place = varint(page, place)
        _, place = varint(page, place)
        values = record_values(page[place : place + size])
        row = dict(zip(DeploymentRow.__struct_fields__, values, strict=False))
        found = row["salt"], row["turn"], row["commits"]
    except (DamagedPage, IndexError, KeyError, UnicodeDecodeError):
        return None
    match found:
        case bytes(salt), int(turn), int(commits):
            return _Progress(deployment_of(salt), turn, commits, root)
    return None


def set_stray_log_aside(database: str, *, also_older: bool = True) -> str | None:
    """Rename a stray log; return a message about it, or None if there is none.

    Raises OSError. Without `also_older`, a log that ends before the database is kept, because it
    may be truncated.
    """
    stray = _stray_log(database)
    if stray is None or (stray.is_older and not also_older):
        return None
    mark = read_mark(database)
    if mark is not None and stray.turn > mark.turn:
        # The epoch file may be as old as the database, so that only this log shows later
        # deliveries.
        write_mark(database, structs.replace(mark, turn=stray.turn))
    # The log's index can go: SQLite rebuilds it from the log.
    aside = set_aside(database, "stray", suffixes=("-wal", "-shm"))
    return f"{stray.why}. The log is set aside as {Path(aside).name}-wal, and is not used"


def set_aside(
    database: str, word: str, *, suffixes: tuple[str, ...] = ("-wal", "-shm", ".epoch", "")
) -> str:
    """Rename files of a database to `<database>.<word>-<time>…`; return that name without suffix.

    The log is renamed before the database, because SQLite deletes a log without a database. Raises
    OSError.
    """
    now = datetime.now(UTC)
    aside = f"{database}.{word}-{now:%Y%m%dT%H%M%S}"
    if any(Path(f"{aside}{suffix}").exists() for suffix in suffixes):
        aside = f"{database}.{word}-{now:%Y%m%dT%H%M%S%f}"
    for suffix in suffixes:
        there = Path(f"{database}{suffix}")
        if there.exists():
            there.replace(f"{aside}{suffix}")
    sync_folder(database)
    return aside
