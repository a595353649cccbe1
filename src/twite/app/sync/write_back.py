"""The table of the database in which a sync writes the result of each row.

Results are stored with the position, and deleted once they are in the table. So a table that cannot
be written delays results, but never makes a sync send rows again.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.domain.times import spelled
from twite.formats.files.results import RowResult, RowResultKind
from twite.gateway.ports.state import StateStore, SyncRecord
from twite.readers.database.connection import DatabaseUnusable, WrittenRow
from twite.readers.database.thread import DatabaseThread
from twite.redaction.scrub_text import names_a_person

_OF_ANOTHER_RUN: Final = frozenset({RowResultKind.DUPLICATE, RowResultKind.SKIPPED})
# Pages of results that may wait: then the sync waits, too.
MOST_PAGES: Final = 100


class WaitingResults(msgspec.Struct, frozen=True, kw_only=True):
    """The results of a page that are not in the table yet."""

    waiting: tuple[WrittenRow, ...]


class WriteBack:
    """Writes the results of one run of a sync, which began `at` (ms).

    `unusable` is why the table cannot be written.
    """

    def __init__(self, sync: str, table: str, database: DatabaseThread, *, at: int) -> None:
        self._sync = sync
        self._table = table
        self._database = database
        self._at = at
        self._pages = 0
        self._waiting = 0
        self.unusable: DatabaseUnusable | None = None

    async def catch_up(self, state: StateStore) -> None:
        """Write the results that wait."""
        own = f"{self._sync}/"
        records = await state.load(SyncRecord, prefix=own)
        for record in records:
            if record.name != own:
                await self.write(state, record)

    def require_room(self) -> None:
        """Raise DatabaseUnusable if no more results may wait."""
        if self.unusable is not None and self._waiting >= MOST_PAGES:
            raise self.unusable

    def record(self, results: Sequence[RowResult]) -> SyncRecord:
        """Return the results of a page, to be stored with its position."""
        self._pages += 1
        rows = [_written(self._sync, result, spelled(self._at)) for result in results]
        # An id that is a person's address was refused, and never reaches the disk.
        waiting = tuple(row for row in rows if not names_a_person(row.conversion_id))
        return SyncRecord(
            name=f"{self._sync}/{self._at:015}-{self._pages:06}",
            state=msgspec.json.encode(WaitingResults(waiting=waiting)).decode(),
        )

    async def write(self, state: StateStore, record: SyncRecord) -> None:
        """Write the results of a page. After a failure, all later pages wait for the next run."""
        if self.unusable is None:
            try:
                rows = msgspec.json.decode(record.state, type=WaitingResults).waiting
                await self._database.write(self._table, rows)
            except DatabaseUnusable as error:
                self.unusable = error
            else:
                await state.delete(SyncRecord, record.name)
                return
        self._waiting += 1


def _written(sync: str, result: RowResult, at: str) -> WrittenRow:
    first = next(iter((*result.errors, *result.notes)), None)
    code = first.code if first else ""
    return WrittenRow(
        sync=sync,
        conversion_id=result.order,
        verdict=result.kind,
        code=code,
        message=first.message if first else "",
        at=at,
        # The result of the order itself stays.
        is_kept=result.kind in _OF_ANOTHER_RUN or code == "id_shared",
    )
