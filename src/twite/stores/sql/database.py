"""What the ports over SQL need of an engine: a connection that reads, and a unit of work."""

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from twite.stores.sql.writer_session import WriterSession

T = TypeVar("T")
View = Callable[[sqlite3.Connection], T]
UnitOfWork = Callable[[WriterSession], T]


class ReadsViews(Protocol):
    """A database that reads."""

    async def read(self, view: View[T], *, is_long: bool = False) -> T:
        """Return what a view returns; a long one does not keep others waiting.

        Raises LedgerUnavailable, StoreUnusable.
        """
        ...


class Database(ReadsViews, Protocol):
    """A database that a process owns."""

    async def write(self, unit: UnitOfWork[T]) -> T:
        """Commit a unit of work, and return what it returns. Raises LedgerUnavailable."""
        ...
