"""The Privacy port of the SQLite store: the opt-out list, and erasure."""

from collections.abc import Awaitable, Callable, Sequence

from twite.gateway.ports.privacy import EraseStore
from twite.stores.sql.database import Database
from twite.stores.sqlite.erase import erase


class SQLitePrivacy:
    """For a store to inherit. `_opted_out` is the event loop's copy of the list."""

    _database: Database
    _opted_out: set[bytes]
    # Empties the write-ahead log; returns whether it could.
    _empty_the_log: Callable[[], Awaitable[bool]]

    def some(self) -> bool:
        return bool(self._opted_out)

    def lists(self, keys: Sequence[bytes]) -> bool:
        return not self._opted_out.isdisjoint(keys)

    async def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        await self._database.write(lambda book: book.opt_outs.revoke(keys, now=now))
        self._opted_out.update(keys)

    async def restore(self, keys: Sequence[bytes]) -> None:
        await self._database.write(lambda book: book.opt_outs.restore(keys))
        self._opted_out.difference_update(keys)

    async def erase(self, erasing: EraseStore, *, now: int) -> int:
        done = await self._database.write(lambda book: erase(book, erasing, now=now))
        self._opted_out.update(erasing.keys)
        if erasing.ends:
            return int(await self._empty_the_log())
        return done
