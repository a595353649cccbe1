"""Store copy port: the two sides of a copy from one store to another, whatever their engines.

Both sides return the rows of a table in the order of its key, with the same columns and the same
Python values. The rows of a target therefore show how far an interrupted copy got.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

import msgspec

from twite.gateway.ports.queries import Queries

Row = tuple[object, ...]
# The number of rows in every piece of `CopySide.rows` except the last.
PIECE: Final = 500


class CopiedTable(msgspec.Struct, frozen=True):
    """A table. The first `key` columns are its key; the first `compared` ones match in both stores.

    The values of other columns may differ between engines.
    """

    name: str
    columns: tuple[str, ...]
    key: int
    compared: int


class CopiedDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """Store-wide data: each store has exactly one record of it.

    `ahead` is how far X's clock is ahead; `bodies` and `histories` are the progress of pruning.
    """

    salt: bytes
    epoch: int
    ahead: int | None
    bodies: int
    histories: int


class CopyReader(Queries, Protocol):
    """Queries on one side."""

    async def close(self) -> None: ...


class CopySide(Protocol):
    """A store that no gateway uses until `close`. Methods raise StoreUnusable."""

    # For messages: without a password.
    shown: str
    tables: Sequence[CopiedTable]

    async def count(self, table: CopiedTable) -> int:
        """Return the number of rows."""

    def rows(self, table: CopiedTable, after: Row | None = None) -> AsyncIterator[list[Row]]:
        """Yield the rows in pieces, in the order of the key; `after` is the key to begin after."""

    async def deployment(self) -> CopiedDeployment: ...

    async def open_reader(self) -> CopyReader:
        """Open the store for queries."""

    async def close(self) -> None:
        """Close the store; a copy that is not published can continue later."""


class CopySource(CopySide, Protocol):
    """The store to copy. It is not changed."""

    async def state(self) -> str:
        """Return a string that changes with every change of the store."""


class CopyTarget(CopySide, Protocol):
    """The new store. No gateway can open it before `publish`."""

    async def last_key(self, table: CopiedTable) -> Row | None:
        """Return the last key that was written, or None."""

    async def add(self, table: CopiedTable, rows: Sequence[Row]) -> None:
        """Commit rows, all or nothing."""

    def stored(self, row: Row) -> Row:
        """Return the row as this engine would store it."""

    async def complete(self, deployment: CopiedDeployment) -> None:
        """Write the store-wide data, and make new ids continue after the copied ones."""

    async def publish(self) -> None:
        """Complete the copy: from now on a gateway can open the store."""
