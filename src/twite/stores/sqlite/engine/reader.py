"""Reader: a read-only connection in its own thread, beside the owner, without a lock."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeVar

from twite.domain.alert import Alert
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.domain.history import ConversionCounts, History
from twite.domain.ignored import IgnoredTally
from twite.domain.rejection import Rejection, RejectionQuery
from twite.domain.stats.backlog import BacklogHour
from twite.domain.stats.sightings import DedupReport, PixelReport, TwoIds
from twite.domain.stats.traffic import HourlyTraffic
from twite.gateway.ports.privacy import DecidedDelivery
from twite.gateway.ports.state import ClockRecord, Pause, RateLimitWindow
from twite.stores.sql import alerts as alarms
from twite.stores.sql import consents, ignored, records, rejections, sightings
from twite.stores.sql import sealed as sealed_rows
from twite.stores.sqlite.engine.connection import connect_reader
from twite.stores.sqlite.engine.damage import damaged, is_damage
from twite.stores.sqlite.engine.schema import newest_version, refuse_newer, version_of

T = TypeVar("T")


class SQLiteReader:
    """The Records of a database, whoever owns it."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._counting = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="twite-reader")

    @classmethod
    async def open(cls, path: str) -> Self:
        """Open to read. Raises StoreUnusable when it is no database of this version of Twite."""
        return cls(await asyncio.to_thread(_connect, path), path)

    async def close(self) -> None:
        await self._read(sqlite3.Connection.close)
        self._thread.shutdown()

    async def life(
        self, *, pixel: str, events: Sequence[str] | None, conversion_id: str
    ) -> Sequence[History]:
        return await self._read(
            partial(records.life, pixel=pixel, events=events, conversion_id=conversion_id)
        )

    async def submission(self, receipt: str) -> Sequence[History]:
        return await self._read(partial(records.submission, receipt=receipt))

    async def accounts(self) -> Sequence[ConversionCounts]:
        return await self._read(records.accounts)

    async def ignored(self, *, since: int) -> Sequence[IgnoredTally]:
        return await self._read(partial(ignored.ignored, since=since))

    async def rejections(self, wanted: RejectionQuery) -> Sequence[Rejection]:
        return await self._read(partial(rejections.rejections, wanted=wanted))

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """Return (name, sealed) of the secrets whose names begin so."""
        return await self._read(partial(sealed_rows.sealed, prefix=prefix))

    async def resting(self, *, pixel: str | None, limit: int) -> Sequence[History]:
        return await self._read(partial(records.resting, pixel=pixel, limit=limit))

    async def pauses(self) -> Sequence[Pause]:
        """Return the pauses in force."""
        return await self._read(records.pauses)

    async def overlap(self, *, since: int) -> Sequence[DedupReport]:
        """Count on a connection of its own: it takes seconds, and nobody else should wait."""
        async with self._counting:
            return await self._told(
                asyncio.to_thread(_apart, self._path, partial(sightings.overlap, since=since))
            )

    async def pairs(self, *, since: int, limit: int) -> Sequence[TwoIds]:
        """Find them as `overlap` counts."""
        what = partial(sightings.pairs, since=since, limit=limit)
        async with self._counting:
            return await self._told(asyncio.to_thread(_apart, self._path, what))

    async def twins(self, *, pixel: str, event: str, conversion_id: str) -> Sequence[PixelReport]:
        return await self._read(
            partial(sightings.twins, pixel=pixel, event=event, conversion_id=conversion_id)
        )

    async def closures(self, *, now: int) -> Sequence[RateLimitWindow]:
        """Return the limits that are spent at a moment."""
        return await self._read(partial(records.closures, now=now))

    async def timed(self) -> ClockRecord:
        """Return what is on record of time."""
        return await self._read(records.timed)

    async def policies(self) -> Mapping[str, str]:
        """Return, by source, the version of the policy that decided on its deliveries."""
        return await self._read(consents.policies)

    async def standing(self, *, source: str, after: int, limit: int) -> Sequence[DecidedDelivery]:
        """Return a source's deliveries that may still be sent."""
        return await self._read(partial(consents.standing, source=source, after=after, limit=limit))

    async def spent(self, *, since: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Return, by pixel, (moment, conversions) of each attempt since a moment."""
        return await self._read(partial(records.spent, since=since))

    async def backlog(self) -> Sequence[BacklogHour]:
        """Return what is pending, by pixel and hour of rank."""
        return await self._read(alarms.backlog)

    async def delivered(self, *, since: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Return, by pixel, (moment, conversions) of what X took since a moment."""
        return await self._read(partial(alarms.delivered, since=since))

    async def alerts(self) -> Sequence[Alert]:
        """Return alerts that are open, or over and not told yet."""
        return await self._read(alarms.alerts)

    async def hours(self) -> Sequence[HourlyTraffic]:
        """Return when something came, by source."""
        return await self._read(alarms.hours)

    async def read(self, what: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a function of the connection reads."""
        return await self._read(what)

    async def _read(self, what: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await self._told(loop.run_in_executor(self._thread, what, self._connection))

    async def _told(self, reading: Awaitable[T]) -> T:
        """Wait, and let no error of SQLite's cross the border."""
        try:
            return await reading
        except sqlite3.Error as error:
            if is_damage(error):
                raise damaged(self._path, error) from error
            raise LedgerUnavailable(reason=str(error), retry_after=1) from error


def _apart(path: str, what: Callable[[sqlite3.Connection], T]) -> T:
    connection = connect_reader(path)
    try:
        return what(connection)
    finally:
        connection.close()


def _connect(path: str) -> sqlite3.Connection:
    connection = connect_reader(path)
    try:
        _refuse_other_version(version_of(connection), path)
    except (StoreUnusable, sqlite3.DatabaseError) as error:
        connection.close()
        if is_damage(error):
            raise damaged(path, error) from error
        raise
    return connection


def _refuse_other_version(present: int, path: str) -> None:
    refuse_newer(present, path)
    if present < newest_version():
        raise StoreUnusable(
            path=path,
            reason=f"its schema is of version {present}, and only its owner may change that",
            cure="Start the gateway once, then read again",
        )
