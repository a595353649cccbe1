"""SQLite store: one file as the gateway's ledger, outbox, records and operations."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Final, Self

from twite.domain.delivery import DAMAGED, Batch, Settlement, Trigger
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.domain.submission import Recorded, Submission
from twite.gateway.ports.events import Moved, Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.store import StoreOptions
from twite.stores.sql import outbox
from twite.stores.sql.directory_changes import SqlDirectory
from twite.stores.sql.moves import SqlMoves
from twite.stores.sql.privacy import SqlPrivacy
from twite.stores.sql.queries import SqlQueries, SqlReader
from twite.stores.sql.state import SqlStateStore
from twite.stores.sqlite.engine.checkpoints import Checkpoints, MarkKeeper
from twite.stores.sqlite.engine.connection import connect_writer, final, is_final
from twite.stores.sqlite.engine.database import ReadConnection, SQLiteDatabase
from twite.stores.sqlite.engine.dedup_keys import FRESH_KEYS
from twite.stores.sqlite.engine.lock import OwnerLock
from twite.stores.sqlite.engine.opening import OpenedStore, prepare
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of
from twite.stores.sqlite.engine.reserve import Reserve
from twite.stores.sqlite.engine.unmarked_leases import VanishedDelivery
from twite.stores.sqlite.engine.upkeep import Upkeep, counted_on
from twite.stores.sqlite.engine.writer import DISK_FULL, Writer

_MIB: Final = 1024 * 1024
_SETTLE_AGAIN: Final = 0.5  # seconds
_EMPTY_WITHIN: Final = 30.0
_DEFAULT: Final = StoreOptions()


class SQLiteReader(SqlReader):
    """Reads a file whose owner may be another process."""

    @classmethod
    async def open(cls, path: str) -> Self:
        """Raises StoreUnusable if it is not a database of this version of Twite."""
        return await cls.of(await ReadConnection.open(path))


class SQLiteStore(SqlMoves, SqlQueries, SqlStateStore, SqlPrivacy):
    """The owner of a database file. Implements all store ports."""

    def __init__(
        self,
        *,
        lock: OwnerLock,
        writer: Writer,
        connection: ReadConnection,
        checkpoints: Checkpoints,
        upkeep: Upkeep,
        mark: MarkKeeper,
        opened: OpenedStore,
        observer: Observer,
        failed: asyncio.Future[StoreUnusable],
        opted_out: set[bytes],
    ) -> None:
        self._lock = lock
        self._writer = writer
        self._reader = connection
        self._database: SQLiteDatabase = SQLiteDatabase(writer=writer, connection=connection)
        self.people = SqlDirectory(self._database)
        self._checkpoints = checkpoints
        self._forget_old_versions = lambda: checkpoints.emptied(patience=_EMPTY_WITHIN)
        self._closed = False
        self._opted_out = opted_out
        self._upkeep = upkeep
        self._mark = mark
        self._observer = observer
        self.ownership = None  # no other process sends
        self.salt = opened.salt
        self.epoch = opened.mark.epoch
        # Remarks for the operator about the file, found at startup.
        self.notices = opened.notices
        self.weak: tuple[str, ...] = ()
        # Completed by a permanent failure: the process must then end, and a new one open the file
        # again.
        self.failed = failed

    @classmethod
    async def open(
        cls,
        path: str,
        options: StoreOptions = _DEFAULT,
        *,
        queue_bytes: int = 32 * _MIB,
        fresh_keys: int = FRESH_KEYS,
    ) -> Self:
        """Open a file as its owner, migrate its schema, and expire the leases of a dead owner.

        `queue_bytes` limits the write queue; `fresh_keys` is the number of dedup keys in memory, at
        150 bytes each. Raises StoreInUse if another process owns the file, StoreUnusable if it
        cannot be used.
        """
        async with AsyncExitStack() as undo:
            # Companion files are next to the actual file, even if the path is a symbolic link.
            path = await asyncio.to_thread(os.path.realpath, path)
            lock = await asyncio.to_thread(OwnerLock.take, path, creating=True)
            undo.callback(lock.release)
            room = Reserve(path, options.reserve)
            opened = await asyncio.to_thread(prepare, path, room)
            mark = MarkKeeper(path, opened.mark)
            undo.callback(mark.close)
            turn = threading.Lock()
            failure: asyncio.Future[StoreUnusable] = asyncio.get_running_loop().create_future()
            failed = partial(_end, failure, path)
            keeping, monitoring = options.retention, options.observer
            checkpoints = Checkpoints(
                path,
                turn=turn,
                mark=mark,
                failed=failed,
                grown=lambda size: monitoring.see(
                    ProblemSeen(where=ProblemPlace.LOG, reason=_grown(size))
                ),
            )

            def written(session: OwnerSession) -> None:
                mark.note(turn=session.turn, conversions=session.conversions)
                options.counted(session.new_counts())

            leases = leases_of(opened.mark.epoch)
            writer = Writer(
                open_session=lambda: OwnerSession(
                    connect_writer(path),
                    window=options.dedup_window,
                    leases=leases,
                    fresh_keys=fresh_keys,
                ),
                committed=checkpoints.wake,
                turn=turn,
                most_conversions=options.queue_limit,
                most_bytes=queue_bytes,
                written=written,
                full=None if keeping is None else room.give_up,
                failed=failed,
                timed=options.timed,
            )
            checkpoints.start()
            undo.callback(checkpoints.close)
            if keeping is not None and room.given_up:
                # The space of the released reserve is for stored conversions, not for new ones.
                writer.refusing = DISK_FULL
            await asyncio.to_thread(writer.start)
            undo.push_async_callback(writer.close)
            await writer.submit_act(OwnerSession.take_over)
            opted_out = await writer.submit_act(lambda session: set(session.opt_outs.keys))
            reader = await ReadConnection.open(path)
            undo.pop_all()
        upkeep = Upkeep(
            writer=writer,
            reserve=room,
            retention=keeping,
            now=options.now or counted_on(),
            pruned=checkpoints.cut,
            observer=monitoring,
        )
        if keeping is not None:
            upkeep.start()
        return cls(
            lock=lock,
            writer=writer,
            connection=reader,
            checkpoints=checkpoints,
            upkeep=upkeep,
            mark=mark,
            opened=opened,
            observer=monitoring,
            failed=failure,
            opted_out=opted_out,
        )

    async def close(self) -> None:
        """Finish queued operations, checkpoint the log, and release the file."""
        if self._closed:
            return
        self._closed = True
        await self._upkeep.close()
        # If the disk is full, this is not recorded, and the next owner checks the file more
        # closely.
        with suppress(LedgerUnavailable):
            await self._writer.submit_act(OwnerSession.leave)
        await self._writer.close()
        await self._reader.close()
        await asyncio.to_thread(self._checkpoints.close)
        await asyncio.to_thread(self._mark.close)
        self._lock.release()

    async def record(self, submission: Submission) -> Recorded:
        return await self._writer.submit(submission)

    def record_soon(
        self,
        submissions: Sequence[Submission],
        done: Callable[[Sequence[Recorded | Exception]], None],
    ) -> None:
        self._writer.submit_soon(submissions, done)

    async def claim(self, claim: Claim) -> Batch | None:
        batches = await self.claim_several(claim, most=1)
        return batches[0] if batches else None

    async def claim_several(self, claim: Claim, *, most: int) -> Sequence[Batch]:
        damaged: list[int] = []

        def act(session: OwnerSession) -> Sequence[Batch]:
            damaged.clear()
            found: list[Batch] = []
            while len(found) < most:
                batch = outbox.claim(session, claim, damaged=damaged)
                if batch is None:
                    break
                found.append(batch)
                if len(batch.deliveries) < claim.limit:
                    break
            return found

        try:
            batches = await self._writer.submit_act(act)
        except Exception:
            if most == 1:
                raise
            # Claim one at a time: the batches before the faulty one can be sent.
            return await self.claim_several(claim, most=1)
        if damaged:
            many, dead = len(damaged), Trigger.GIVEN_UP
            self._observer.see(
                Moved(pixel=claim.pixel, trigger=dead, deliveries=many, reason=DAMAGED)
            )
        return batches

    async def settle(self, settlement: Settlement) -> int:
        """Settle. Retries while the disk is full or fails, so that X's response is not lost."""
        outbox.check(settlement)
        while True:
            try:
                return await self._writer.submit_act(partial(outbox.settle, settlement=settlement))
            except VanishedDelivery:
                continue
            except LedgerUnavailable as error:
                if self._closed or not _passes(error):
                    raise
            await asyncio.sleep(_SETTLE_AGAIN)


def _passes(unavailable: LedgerUnavailable) -> bool:
    """Return whether a retry may succeed: the disk is full or failing, or the file is locked."""
    if is_final(unavailable.__cause__):
        return False
    code = getattr(unavailable.__cause__, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY}


def _grown(size: int) -> str:
    return (
        f"the write-ahead log has grown to {size >> 20} MiB, because another process keeps "
        "reading the database: stop that process (backups end automatically)"
    )


def _end(failure: asyncio.Future[StoreUnusable], path: str, error: Exception) -> None:
    if not failure.done():
        failure.set_result(final(path, error))
