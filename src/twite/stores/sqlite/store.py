"""One SQLite file as the gateway's ledger, outbox, records and desk."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

from twite.domain.account import Account, Life
from twite.domain.dedup import DEFAULT_WINDOW
from twite.domain.delivery import Batch, Settlement
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.domain.submission import Recorded, Submission
from twite.gateway.ports import Claim, Pause, Swept
from twite.stores.sqlite import desk, outbox
from twite.stores.sqlite.book import Book, leases_of
from twite.stores.sqlite.checkpoints import Checkpoints
from twite.stores.sqlite.connection import connect_writer, create
from twite.stores.sqlite.damage import damaged, is_damage
from twite.stores.sqlite.keys import FRESH_KEYS
from twite.stores.sqlite.lock import OwnerLock
from twite.stores.sqlite.queries import query
from twite.stores.sqlite.reader import SQLiteReader
from twite.stores.sqlite.schema import migrate
from twite.stores.sqlite.writer import Writer

_MIB: Final = 1024 * 1024
# After a stop that was not in order, a file up to this size is checked whole (a third of a second).
_CHECKED_UP_TO: Final = 64 * _MIB
_SETTLE_AGAIN: Final = 0.5  # seconds


class SQLiteStore:
    """The owner of a database file: Ledger, Outbox, Records and Desk in one."""

    def __init__(
        self,
        *,
        lock: OwnerLock,
        writer: Writer,
        reader: SQLiteReader,
        checkpoints: Checkpoints,
        salt: bytes,
        epoch: int,
    ) -> None:
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self._checkpoints = checkpoints
        self._closed = False
        self.salt = salt
        self.epoch = epoch

    @classmethod
    async def open(
        cls,
        path: str,
        *,
        dedup_window: int = DEFAULT_WINDOW,
        queue_limit: int = 20_000,
        queue_bytes: int = 32 * _MIB,
        fresh_keys: int = FRESH_KEYS,
    ) -> Self:
        """Own the file, bring its schema up to date, and let the leases of a dead owner lapse.

        `dedup_window` is in milliseconds; `queue_limit` (conversions) and `queue_bytes` bound what
        may wait for the disk; `fresh_keys` is how many dedup keys memory keeps, at 150 bytes each.

        Raises StoreInUse when another process owns it, StoreUnusable when it cannot be used.
        """
        async with AsyncExitStack() as undo:
            lock = await asyncio.to_thread(OwnerLock.take, path)
            undo.callback(lock.release)
            salt, epoch = await asyncio.to_thread(_prepared, path)
            turn = threading.Lock()
            checkpoints = Checkpoints(path, turn=turn)
            writer = Writer(
                open_book=partial(
                    _open_book,
                    path,
                    window=dedup_window,
                    leases=leases_of(epoch),
                    fresh_keys=fresh_keys,
                ),
                committed=checkpoints.wake,
                turn=turn,
                most_conversions=queue_limit,
                most_bytes=queue_bytes,
            )
            checkpoints.start()
            undo.callback(checkpoints.close)
            await asyncio.to_thread(writer.start)
            undo.push_async_callback(writer.close)
            # Who held a lease is dead: there is one owner, and it is us.
            await writer.submit_act(lambda book: outbox.lapse(book, now=_FOREVER))
            reader = await SQLiteReader.open(path)
            undo.pop_all()
        return cls(
            lock=lock,
            writer=writer,
            reader=reader,
            checkpoints=checkpoints,
            salt=salt,
            epoch=epoch,
        )

    async def close(self) -> None:
        """Finish what is waiting, move the log into the database, and let go of the file."""
        if self._closed:
            return
        self._closed = True
        # On a full disk the mark is not made; the next owner then looks closer.
        with suppress(LedgerUnavailable):
            await self._writer.submit_act(lambda book: book.run("closed"))
        await self._writer.close()
        await self._reader.close()
        await asyncio.to_thread(self._checkpoints.close)
        self._lock.release()

    async def record(self, submission: Submission) -> Recorded:
        return await self._writer.submit(submission)

    async def claim(self, claim: Claim) -> Batch | None:
        return await self._writer.submit_act(lambda book: outbox.claim(book, claim))

    async def settle(self, settlement: Settlement) -> int:
        """Settle, and wait for a disk that is full or fails: what X said is asked once."""
        outbox.check(settlement)
        while True:
            try:
                return await self._writer.submit_act(lambda book: outbox.settle(book, settlement))
            except LedgerUnavailable as error:
                if self._closed or not _passes(error):
                    raise
            await asyncio.sleep(_SETTLE_AGAIN)

    async def sweep(self, *, now: int, ambiguous_before: int, waiting_before: int) -> Swept:
        return await self._writer.submit_act(
            lambda book: outbox.sweep(
                book, now=now, ambiguous_before=ambiguous_before, waiting_before=waiting_before
            )
        )

    async def pause(self, pause: Pause) -> None:
        await self._writer.submit_act(lambda book: outbox.pause(book, pause))

    async def resume(self, pixel: str) -> None:
        await self._writer.submit_act(lambda book: outbox.resume(book, pixel))

    async def pauses(self) -> Sequence[Pause]:
        return await self._reader.pauses()

    async def spent(self, *, since: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        return await self._reader.spent(since=since)

    async def life(
        self, *, pixel: str, events: Sequence[str], conversion_id: str
    ) -> Sequence[Life]:
        return await self._reader.life(pixel=pixel, events=events, conversion_id=conversion_id)

    async def submission(self, receipt: str) -> Sequence[Life]:
        return await self._reader.submission(receipt)

    async def accounts(self) -> Sequence[Account]:
        return await self._reader.accounts()

    async def resting(self, *, pixel: str | None, limit: int) -> Sequence[Life]:
        return await self._reader.resting(pixel=pixel, limit=limit)

    async def replay(self, deliveries: Sequence[int], *, now: int) -> int:
        return await self._writer.submit_act(lambda book: desk.replay(book, deliveries, now=now))

    async def discard(self, deliveries: Sequence[int], *, now: int, note: str) -> int:
        return await self._writer.submit_act(
            lambda book: desk.discard(book, deliveries, now=now, note=note)
        )


def _passes(error: LedgerUnavailable) -> bool:
    """Return whether trying again may do: the disk was full or failed, or another had the lock."""
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY}


def _open_book(path: str, *, window: int, leases: Iterator[int], fresh_keys: int) -> Book:
    return Book(connect_writer(path), window=window, leases=leases, fresh_keys=fresh_keys)


def _prepared(path: str) -> tuple[bytes, int]:
    """Raises StoreUnusable for a file that SQLite cannot make sense of."""
    try:
        return _prepare(path)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise damaged(path, error) from error
        raise


def _prepare(path: str) -> tuple[bytes, int]:
    """Make the file ready for this owner; return its salt and epoch."""
    create(path)
    connection = connect_writer(path)
    try:
        migrate(connection, path)
        salt, epoch, clean = connection.execute(query("opening")).fetchone()
        if not clean and Path(path).stat().st_size <= _CHECKED_UP_TO:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise StoreUnusable(
                    path=path, reason=f"it is damaged ({problem})", cure="Restore a backup"
                )
        connection.execute(query("opened"))
    finally:
        connection.close()
    return salt, epoch + 1


_FOREVER: Final = 1 << 62
