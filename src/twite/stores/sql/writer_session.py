"""Writer session: one transaction's connection, statements, ids and keys.

How ids are given, and what memory knows of names, dedup keys and opt-outs, is the engine's: see
`OwnerSession` of SQLite, which has one owner and counts in memory.
"""

import sqlite3
from collections.abc import Iterator, Sequence

from twite.stores.sql import named as queries
from twite.stores.sql.dedup_keys import DedupKeys
from twite.stores.sql.opt_outs import OptOutList
from twite.stores.sql.tallies import TallyWriter


class WriterSession:
    """What units of work write with. An engine's session gives ids and names."""

    connection: sqlite3.Connection
    keys: DedupKeys
    opt_outs: OptOutList
    tally: TallyWriter
    # Deliveries that a later copy denied consent to while they were in flight.
    denied: set[int]
    # What the checksums of each lane begin with; conversions up to `unsummed` have none.
    seeds: dict[int, int]
    unsummed: int
    # Claims and settlements so far.
    turn: int

    def moved(self) -> None:
        """Record a change of delivery state."""
        self.turn += 1

    def run(self, name: str, /, **values: object) -> sqlite3.Cursor:
        """Run a named statement."""
        return self.connection.execute(queries.query(name), values)

    def run_rows(
        self, name: str, rows: Sequence[object], width: int, *rest: object
    ) -> Iterator[tuple[int, int, sqlite3.Cursor]]:
        """Run a statement over flattened rows in few pieces; yield (start, size, cursor) of each.

        `rest` are the values that follow the rows.
        """
        for start, size in queries.slices(len(rows) // width):
            piece = rows[start * width : (start + size) * width]
            yield start, size, self.connection.execute(queries.rows(name, size), (*piece, *rest))

    def add_rows(self, name: str, rows: Sequence[object], width: int) -> None:
        """Insert flattened rows."""
        for _ in self.run_rows(name, rows, width):
            pass

    def lane(self, pixel: str, event: str) -> int:
        """Return the id of a pixel's event, giving it one if it is new."""
        raise NotImplementedError

    def lanes(self) -> Sequence[int]:
        """Return all (pixel, event) ids."""
        raise NotImplementedError

    def account(self, source: str, pixel: str) -> int:
        """Return the id of a source's account with a pixel, giving it one if it is new."""
        raise NotImplementedError

    def next_submission(self) -> int:
        """Return an id."""
        raise NotImplementedError

    def next_conversions(self, count: int) -> int:
        """Return the first of that many ids in a row."""
        raise NotImplementedError

    def next_attempt(self) -> int:
        """Return an id."""
        raise NotImplementedError

    def next_lease(self) -> int:
        """Return a fencing token higher than any before."""
        raise NotImplementedError
