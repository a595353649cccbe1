"""Read a database file page by page, without SQLite.

Intact pages can be read despite damage. SQLite reaches a row from the root of its table, so a
damaged page hides all pages below it. Here, each page is read by itself.
[sqlite.org/fileformat2.html]
"""

import copy
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from twite.stores.sqlite.engine.log_file import PAGE_SIZE, log_of
from twite.stores.sqlite.engine.page_records import (
    TABLE_LEAF,
    DamagedPage,
    Value,
    record_values,
    varint,
)

INDEX_LEAF: Final = 0x0A
_TABLE_INNER: Final = 0x05
_INDEX_INNER: Final = 0x02
_KINDS: Final = (TABLE_LEAF, INDEX_LEAF, _TABLE_INNER, _INDEX_INNER)
_FILE_HEADER: Final = 100
_FIRST_FREE: Final = 32
_USER_VERSION: Final = 60
# The maximum part of a payload that is stored on the row's own page, in tables and in indexes.
_MOST_HERE: Final = {TABLE_LEAF: PAGE_SIZE - 35, INDEX_LEAF: (PAGE_SIZE - 12) * 64 // 255 - 23}
_LEAST_HERE: Final = (PAGE_SIZE - 12) * 32 // 255 - 23


class PageRow(NamedTuple):
    """One record: its rowid (0 in an index) and its stored values."""

    rowid: int
    values: tuple[Value, ...]


class LeafPage(NamedTuple):
    """The readable rows of one page, and whether they are all rows of the page."""

    rows: list[PageRow]
    whole: bool


class PageTree(NamedTuple):
    """The pages with rows below a root, and whether all inner pages on the way are intact."""

    pages: list[int]
    whole: bool


class Pages:
    """The newest intact version of each page, from the log or the file."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).read_bytes()
        log = log_of(path)
        self._logged, self.log_is_whole = ({}, True) if log is None else log.sound()
        if log is not None and not log.begins_well:
            self.log_is_whole = False
        self.count = max(len(self._file) // PAGE_SIZE, max(self._logged, default=0))

    def without_log(self) -> "Pages":
        """Return the pages of the database file without the log."""
        pages = copy.copy(self)
        pages._logged, pages.log_is_whole = {}, False  # noqa: SLF001 another object of this class
        pages.count = len(self._file) // PAGE_SIZE
        return pages

    def page(self, number: int) -> bytes:
        """Return a page. Raises DamagedPage for an invalid number."""
        if not 1 <= number <= self.count:
            raise DamagedPage
        found = self._logged.get(number)
        if found is None:
            found = self._file[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        if len(found) < PAGE_SIZE:
            raise DamagedPage
        return found

    def versions(self) -> tuple[int, int]:
        """Return the `user_version` and the `application_id` of the database; 0 if unreadable."""
        try:
            user, *_, application = struct.unpack_from(">III", self.page(1), _USER_VERSION)
        except DamagedPage:
            return 0, 0
        return user, application

    def kind(self, number: int) -> int:
        """Return the kind of a page, 0 if it belongs to no table or index."""
        try:
            found = self.page(number)[_start(number)]
        except DamagedPage:
            return 0
        return found if found in _KINDS else 0

    def tree(self, root: int) -> PageTree:
        """Find all pages with rows below a root."""
        pages: list[int] = []
        whole = True
        ahead, seen = [root], set()
        while ahead:
            number = ahead.pop()
            if number in seen:
                whole = False
                continue
            seen.add(number)
            kind = self.kind(number)
            if kind in {TABLE_LEAF, INDEX_LEAF, _INDEX_INNER}:
                pages.append(number)
            if kind in {_TABLE_INNER, _INDEX_INNER}:
                try:
                    ahead += self._children(number)
                except (DamagedPage, struct.error, IndexError):
                    whole = False
            elif kind == 0:
                whole = False
        return PageTree(pages, whole)

    def free(self) -> set[int]:
        """Return the unused pages, as far as the free list is intact."""
        found: set[int] = set()
        try:
            trunk = struct.unpack_from(">I", self.page(1), _FIRST_FREE)[0]
            while trunk and trunk not in found:
                page = self.page(trunk)
                found.add(trunk)
                trunk, many = struct.unpack_from(">II", page)
                found.update(struct.unpack_from(f">{min(many, PAGE_SIZE // 4 - 2)}I", page, 8))
        except (DamagedPage, struct.error):
            pass
        return found

    def leaf(self, number: int) -> LeafPage:
        """Read the rows of a page."""
        rows: list[PageRow] = []
        whole = True
        kind = self.kind(number)
        try:
            cells = self._cells(number)
        except (DamagedPage, struct.error, IndexError):
            return LeafPage([], whole=False)
        last = None
        for place in cells:
            try:
                row = self._row(number, kind, place)
            except (DamagedPage, struct.error, IndexError, UnicodeDecodeError, ValueError):
                whole = False
                continue
            if kind == TABLE_LEAF:
                if last is not None and row.rowid <= last:
                    whole = False
                last = row.rowid
            rows.append(row)
        return LeafPage(rows, whole)

    def _cells(self, number: int) -> Sequence[int]:
        page, start = self.page(number), _start(number)
        many = struct.unpack_from(">H", page, start + 3)[0]
        head = 12 if page[start] in {_TABLE_INNER, _INDEX_INNER} else 8
        if start + head + 2 * many > PAGE_SIZE:
            raise DamagedPage
        return struct.unpack_from(f">{many}H", page, start + head)

    def _children(self, number: int) -> Iterator[int]:
        page = self.page(number)
        for place in self._cells(number):
            yield struct.unpack_from(">I", page, place)[0]
        yield struct.unpack_from(">I", page, _start(number) + 8)[0]

    def _row(self, number: int, kind: int, place: int) -> PageRow:
        page = self.page(number)
        if place < 8:
            raise DamagedPage
        if kind == _INDEX_INNER:
            place += 4
        size, place = varint(page, place)
        rowid = 0
        if kind == TABLE_LEAF:
            rowid, place = varint(page, place)
        family = TABLE_LEAF if kind == TABLE_LEAF else INDEX_LEAF
        return PageRow(rowid, record_values(self._payload(page, place, size, _MOST_HERE[family])))

    def _payload(self, page: bytes, place: int, size: int, most: int) -> bytes:
        if size <= most:
            found = page[place : place + size]
        else:
            if size > self.count * PAGE_SIZE:
                raise DamagedPage
            here = _LEAST_HERE + (size - _LEAST_HERE) % (PAGE_SIZE - 4)
            here = here if here <= most else _LEAST_HERE
            parts = [page[place : place + here]]
            following = struct.unpack_from(">I", page, place + here)[0]
            left = size - here
            while left > 0:
                page = self.page(following)
                following = struct.unpack_from(">I", page)[0]
                parts.append(page[4 : 4 + min(left, PAGE_SIZE - 4)])
                left -= PAGE_SIZE - 4
            found = b"".join(parts)
        if len(found) != size:
            raise DamagedPage
        return found


def _start(number: int) -> int:
    return _FILE_HEADER if number == 1 else 0
