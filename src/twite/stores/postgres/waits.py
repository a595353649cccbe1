"""What a gateway waits for while it divides the accounts: the log says why a takeover is late."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, TypeVar

from twite.domain.errors import LedgerUnavailable
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.driver.connection import PostgresConnection

T = TypeVar("T")

# Seconds. Usually, accounts are divided within milliseconds.
LONG: Final = 3.0
AGAIN: Final = 10.0


class OwnershipWaits:
    """Reports long waits, with the database sessions that are in a transaction."""

    def __init__(self, database: PostgresDatabase, observer: Observer) -> None:
        self._database = database
        self._observer = observer
        self._next = 0.0
        # What is being done now.
        self.step = ""

    async def watched(self, work: Awaitable[T]) -> T:
        """Await `work`. Report while it takes long."""
        reporting = asyncio.create_task(self._report_repeatedly())
        try:
            return await work
        finally:
            reporting.cancel()

    async def _report_repeatedly(self) -> None:
        began, pause = time.monotonic(), LONG
        while True:
            await asyncio.sleep(pause)
            waited, pause = time.monotonic() - began, AGAIN
            await self._report(f"this has taken {waited:.0f} s: {self.step}")

    async def report_late(self, late: float, *, locked: bool) -> None:
        """Report that a node whose lease has expired could not be fenced, at most every 10 s.

        `late` is in seconds. `locked` is whether a transaction has locked the node's row.
        """
        now = time.monotonic()
        if late < LONG or now < self._next:
            return
        self._next = now + AGAIN
        cause = (
            "a transaction has locked its row"
            if locked
            else "the lease of this gateway had expired too, so it first lets others renew theirs"
        )
        await self._report(f"a gateway should have been replaced {late:.0f} s ago, but {cause}")

    async def _report(self, what: str) -> None:
        self._see(f"{what}. Writing connections in use: {self._database.connections_in_use}")
        try:
            sessions = await self._database.read(_busy_sessions)
        except LedgerUnavailable as error:
            sessions = [f"the sessions of the database cannot be read: {error.reason}"]
        for session in sessions:
            self._see(session)

    def _see(self, reason: str) -> None:
        self._observer.see(ProblemSeen(where=ProblemPlace.STORE, reason=reason))


def _busy_sessions(connection: PostgresConnection) -> list[str]:
    rows = connection.run("busy_sessions").fetchall()
    return [f"session {pid}: {doing}" for pid, doing in rows]
