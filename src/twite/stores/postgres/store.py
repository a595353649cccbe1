"""PostgreSQL store: the ledger, outbox and records in a database that several nodes can share."""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Self

import msgspec

from twite import __version__
from twite.domain.delivery import DAMAGED, Batch, Settlement, Trigger
from twite.domain.errors import StoreUnusable
from twite.domain.submission import Recorded, Submission
from twite.gateway.ports.events import Moved, Observer
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres import usual
from twite.stores.postgres.database import PostgresDatabase, PostgresReads
from twite.stores.postgres.driver.address import Address, opened
from twite.stores.postgres.examine import refuse_weak, weak_settings
from twite.stores.postgres.keys import OLD
from twite.stores.postgres.nodes import NotOwner, PostgresOwnership
from twite.stores.postgres.overwriting import overwrite
from twite.stores.postgres.recorder import Recorder
from twite.stores.postgres.schema import migrate, newest_version, present_version
from twite.stores.postgres.session import PostgresSession
from twite.stores.postgres.settlements import Settlements
from twite.stores.postgres.upkeep import PostgresUpkeep
from twite.stores.sql import outbox
from twite.stores.sql.database import UnitOfWork, View
from twite.stores.sql.directory_changes import SqlDirectory
from twite.stores.sql.moves import SqlMoves
from twite.stores.sql.privacy import SqlPrivacy
from twite.stores.sql.queries import SqlQueries, SqlReader, salt_of
from twite.stores.sql.state import SqlStateStore
from twite.stores.sql.statements import refuse_older

_QUEUE_BYTES: Final = 32 * 1024 * 1024
_VACUUM_WITHIN: Final = 30.0  # seconds


class PostgresReader(SqlReader):
    """Reads a database that gateways may be using."""

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open for reading. Raises StoreUnusable if it is not a database of this version."""
        address = Address(url)
        # A pooler may send each transaction to another connection.
        async with opened(address) as driver, driver.transaction():
            present = await present_version(driver, address)
        if not present:
            raise StoreUnusable(
                address.shown,
                "the database contains no store yet",
                "Check store.url, or start the gateway: it creates the tables",
            )
        refuse_older(present, newest_version(), address.shown)
        return await cls.of(PostgresReads(address))


class _OneAtATime:
    """Implements Database for users and API keys: units run one at a time, so reads stay valid."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def read(self, view: View[Any], *, is_long: bool = False) -> Any:  # noqa: ANN401 - a view's
        return await self._database.read(view, is_long=is_long)

    async def write(self, unit: UnitOfWork[Any]) -> Any:  # noqa: ANN401 - a unit's
        def locked(session: PostgresSession) -> Any:  # noqa: ANN401 - a unit's
            session.run("lock_directory")
            return unit(session)

        return await self._database.write(locked)


class PostgresStore(SqlMoves, SqlQueries, SqlStateStore, SqlPrivacy):
    """Implements all store ports."""

    def __init__(
        self,
        database: PostgresDatabase,
        recorder: Recorder,
        upkeep: PostgresUpkeep | None,
        *,
        salt: bytes,
        observer: Observer,
    ) -> None:
        """Without `upkeep`, nothing is pruned."""
        self._database: PostgresDatabase = database
        self._recorder = recorder
        self._upkeep = upkeep
        self._observer = observer
        self._opted_out_copy = database.names.opt_outs
        self._opted_out = self._opted_out_copy.keys
        self._forget_old_versions = self._vacuum
        self._vacuuming: asyncio.Task[bool] | None = None
        self._closed = False
        self.people = SqlDirectory(_OneAtATime(database))
        self.ownership = PostgresOwnership(
            database, name=socket.gethostname(), version=__version__, observer=observer
        )
        self.settlements = Settlements(
            database, may_send=self.ownership.may_send, observer=observer
        )
        recorder.follows_opt_outs = self.ownership.may_send
        self.salt = salt
        self.notices: tuple[str, ...] = ()
        self.weak: tuple[str, ...] = ()
        self.failed: asyncio.Future[StoreUnusable] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, url: str, options: StoreOptions) -> Self:
        """Connect, and bring the schema up to date. Raises StoreUnusable."""
        address = Address(url)
        async with opened(
            address,
            failed="its schema cannot be brought up to date",
            fix="Check the server's log and the role's privileges, then start again",
        ) as driver:
            async with driver.transaction():
                weak = await weak_settings(driver)
            refuse_weak(weak, address, is_accepted=options.accept_weak_durability)
            is_upgraded = await migrate(driver, address)
        async with AsyncExitStack() as undo:
            database = PostgresDatabase(
                address,
                window=options.dedup_window,
                timed=options.timed,
                committed=lambda session: options.counted(session.new_counts()),
            )
            undo.push_async_callback(database.close)
            salt = await database.read(salt_of)
            await database.write(lambda session: session.opt_outs.refresh())
            recorder = Recorder(
                database, most_conversions=options.queue_limit, most_bytes=_QUEUE_BYTES
            )
            recorder.start()
            undo.pop_all()
        upkeep = None
        if options.retention is not None:
            upkeep = PostgresUpkeep(
                database,
                recorder,
                retention=options.retention,
                size_limit=options.size_limit,
                now=options.now or (lambda: time.time_ns() // 1_000_000),
                observer=options.observer,
            )
        store = cls(database, recorder, upkeep, salt=salt, observer=options.observer)
        store.weak = weak
        if is_upgraded:
            store.ownership.let_others_first()
        if upkeep is not None:
            upkeep.may_prune = store.ownership.may_prune
            upkeep.weak = weak
            upkeep.start()
        return store

    async def close(self) -> None:
        """Finish operations in progress, and close the connections."""
        if self._closed:
            return
        self._closed = True
        if self._upkeep is not None:
            await self._upkeep.close()
        if self._vacuuming is not None:
            self._vacuuming.cancel()
        await self.settlements.close()
        await self._recorder.close()
        await self._database.close()

    async def record(self, submission: Submission) -> Recorded:
        return await self._recorder.submit(submission)

    def record_soon(
        self,
        submissions: Sequence[Submission],
        done: Callable[[Sequence[Recorded | Exception]], None],
    ) -> None:
        self._recorder.submit_soon(submissions, done)

    async def claim(self, claim: Claim) -> Batch | None:
        damaged: list[int] = []
        passing = claim.passing | self.settlements.accepted()
        claim = msgspec.structs.replace(claim, passing=passing)
        account = self.ownership.account(claim.pixel)

        def unit(session: PostgresSession, *, tries_usual: bool = True) -> Batch | None:
            damaged.clear()
            if tries_usual:
                batch, is_answer = usual.claim(session, claim, account=account)
                if is_answer:
                    return batch
            self.ownership.check(session, claim.pixel)
            return outbox.claim(session, claim, damaged=damaged)

        try:
            try:
                batch = await self._database.write(unit, begins=True)
            except usual.Unusual:
                batch = await self._database.write(partial(unit, tries_usual=False))
        except NotOwner:
            return None
        if damaged:
            many, dead = len(damaged), Trigger.GIVEN_UP
            self._observer.see(
                Moved(pixel=claim.pixel, trigger=dead, deliveries=many, reason=DAMAGED)
            )
        return batch

    async def claim_several(self, claim: Claim, *, most: int) -> Sequence[Batch]:  # noqa: ARG002
        """Claim only one batch, because several claims would wait for each other's transactions."""
        batch = await self.claim(claim)
        return () if batch is None else (batch,)

    async def settle(self, settlement: Settlement) -> int:
        outbox.check(settlement)
        return await self.settlements.settle(settlement)

    async def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        await super().revoke(keys, now=now)
        self._opted_out_copy.version = OLD

    async def restore(self, keys: Sequence[bytes]) -> None:
        await super().restore(keys)
        # Read the list again: another node may have changed it since the last read, and a claim may
        # already have used the new list.
        self._opted_out_copy.version = OLD

    async def erase(self, erase: EraseStore, *, now: int) -> int:
        """Erase one slice.

        If keys are given, return only when all gateways suppress new conversions with these keys.
        Otherwise, a gateway could store one after the search for this person.
        """
        if erase.overwrites:
            return await self._database.write(lambda session: overwrite(session, erase))
        done = await super().erase(erase, now=now)
        if erase.keys:
            self._opted_out_copy.version = OLD
            await self.ownership.until_others_suppress()
        return done

    async def _vacuum(self) -> bool:
        """Delete row versions from before the erasure; return whether this has finished."""
        if self._vacuuming is None or self._vacuuming.done():
            self._vacuuming = asyncio.create_task(self._database.vacuum())
        done, _ = await asyncio.wait({self._vacuuming}, timeout=_VACUUM_WITHIN)
        return bool(done) and self._vacuuming.result()
