"""Upkeep on PostgreSQL: prune old rows, and refuse requests before the disk is full."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from twite.domain.alert import AlertKind
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import DAY
from twite.gateway.alerts.checks import STORE
from twite.gateway.ports.events import ConditionChanged, Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.store import Retention
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.driver.connection import PostgresConnection
from twite.stores.postgres.driver.errors import is_passing
from twite.stores.postgres.examine import weak_settings_of
from twite.stores.postgres.recorder import Recorder
from twite.stores.postgres.session import PostgresSession
from twite.stores.sql.pruning import SqlPruner, note_place, place_of

SIZE_REACHED: Final = "the database has reached store.size_limit"
_KEYS: Final = 1_000
_SLICE: Final = 500
_REST_OF_KEYS: Final = DAY
# Seconds between two searches for old rows, after a slice, and between two checks of the size.
_LOOK_FOR_OLD: Final = 5.0
_AFTER_A_SLICE: Final = 0.05
# Pruning rests for this many times the duration of a slice, so that it delays requests little: the
# first number applies at first, the second after _LATE seconds of work without a break.
_RESTS: Final = 9
_RESTS_LATE: Final = 1
_LATE: Final = 3600.0
_LOOK_AT_SIZE: Final = 10.0
LOOK_AT_DURABILITY: Final = 10.0
# Requests are accepted again when the database is smaller than this part of the limit.
_ROOM: Final = 0.98
# The alert opens at the first part of the limit, and resolves at the second.
_NEARLY: Final = 0.9
_NOT_NEARLY: Final = 0.85


class PostgresPruner(SqlPruner[PostgresSession]):
    """Prunes in separate transactions, on one node at a time."""

    def _keys(self, session: PostgresSession, now: int, most: int) -> int:
        place = place_of(session)
        if place.rested_at > now - _REST_OF_KEYS and not place.key:
            return session.run("forget_marks", limit=most).rowcount
        row = session.run("first_kept", histories=place.histories).fetchone()
        before = 0 if row is None else row[0]
        rows = session.run("next_keys", after=place.key or bytes(16), limit=_KEYS).fetchall()
        old = [key for key, delivery in rows if delivery < before]
        if old:
            session.run("forget_keys", keys=old, before=before)
        is_over = len(rows) < _KEYS
        reached = b"" if is_over else rows[-1][0]
        note_place(session, msgspec.structs.replace(place, key=reached, rested_at=now))
        return 0 if is_over else _KEYS


class PostgresUpkeep:
    """Runs from `start` to `close`, on the event loop."""

    def __init__(
        self,
        database: PostgresDatabase,
        recorder: Recorder,
        *,
        retention: Retention,
        size_limit: int | None,
        now: Callable[[], int | None],
        observer: Observer,
    ) -> None:
        """`now` returns the time in milliseconds, or None while no clock is trusted."""
        self._database = database
        self._recorder = recorder
        self._pruner = PostgresPruner(retention)
        self._size_limit = size_limit
        self._now = now
        self._observer = observer
        self._is_nearly_full = False
        # Settings of the server that can lose commits, as last reported.
        self.weak: tuple[str, ...] = ()
        # The last reported failure of pruning, until pruning succeeds.
        self._reported = ""
        # If there are several gateways, only one prunes.
        self.may_prune: Callable[[], bool] = lambda: True
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        work: list[Coroutine[Any, Any, None]] = [self._prune(), self._watch_durability()]
        if self._size_limit is not None:
            work.append(self._watch_size(self._size_limit))
        self._tasks = [asyncio.create_task(part) for part in work]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _prune(self) -> None:
        busy_since = None
        while True:
            began = time.monotonic()
            pruned = await self._sliced()
            if not pruned:
                busy_since = None
                await asyncio.sleep(_LOOK_FOR_OLD)
                continue
            busy_since = busy_since or began
            took = time.monotonic() - began
            await asyncio.sleep(rest_after(took, busy=began - busy_since))

    async def _sliced(self) -> int:
        """Prune a slice; return its size."""
        now = self._now()
        if now is None or not self.may_prune():
            return 0
        try:
            pruned = await self._database.write(partial(self._slice, now=now))
        except LedgerUnavailable as error:
            if not is_passing(error.__cause__):
                self._report(error.reason)
            # A passing error is reported by the next request or delivery.
            return 0
        except Exception as fault:  # noqa: BLE001 an unpruned store grows without limit
            self._report(type(fault).__name__)
            return 0
        self._reported = ""
        return pruned

    def _report(self, reason: str) -> None:
        if reason != self._reported:
            self._reported = reason
            self._observer.see(ProblemSeen(where=ProblemPlace.PRUNING, reason=reason))

    def _slice(self, session: PostgresSession, *, now: int) -> int:
        if not session.run("try_to_prune").fetchone()[0]:
            return 0  # another node prunes
        return self._pruner.slice(session, now=now, most=_SLICE)

    async def _watch_durability(self) -> None:
        """Report when a setting of the server begins or ceases to endanger commits."""
        while True:
            await asyncio.sleep(LOOK_AT_DURABILITY)
            with suppress(LedgerUnavailable):  # the next request reports it
                weak = await self._database.read(weak_settings_of)
                if weak != self.weak:
                    self.weak = weak
                    self._report_weak(weak)

    def _report_weak(self, weak: Sequence[str]) -> None:
        reason = "; ".join(weak)
        if weak:
            self._observer.see(ProblemSeen(where=ProblemPlace.STORE, reason=reason))
        self._observer.see(
            ConditionChanged(
                kind=AlertKind.WEAK_DURABILITY, subject=STORE, reason=reason, holds=bool(weak)
            )
        )

    async def _watch_size(self, limit: int) -> None:
        while True:
            with suppress(LedgerUnavailable):  # the next request reports it
                self._decide(await self._database.read(size_of), limit)
            await asyncio.sleep(_LOOK_AT_SIZE)

    def _decide(self, size: int, limit: int) -> None:
        """Refuse requests when the size limit is reached, until there is space again."""
        least = limit * (_NOT_NEARLY if self._is_nearly_full else _NEARLY)
        self._report_nearly_full(size, limit, holds=size >= least)
        if size >= limit:
            if self._recorder.refusing is None:
                reason = f"{SIZE_REACHED} ({size >> 20} MiB)"
                self._observer.see(ProblemSeen(where=ProblemPlace.STORE, reason=reason))
            self._recorder.refusing = SIZE_REACHED
        elif size < limit * _ROOM:
            self._recorder.refusing = None

    def _report_nearly_full(self, size: int, limit: int, *, holds: bool) -> None:
        if holds is self._is_nearly_full:
            return
        self._is_nearly_full = holds
        reason = (
            f"The database has {size >> 20} MiB; at {limit >> 20} MiB (store.size_limit), requests "
            "get 503"
        )
        self._observer.see(
            ConditionChanged(
                kind=AlertKind.DISK_NEARLY_FULL, subject=STORE, reason=reason, holds=holds
            )
        )


def rest_after(took: float, *, busy: float) -> float:
    """Return the seconds to rest after a slice; `busy` is the time since the first slice.

    Slices take longer on a busy server, so pruning also rests for longer.
    """
    return max(_AFTER_A_SLICE, took * (_RESTS if busy < _LATE else _RESTS_LATE))


def size_of(connection: PostgresConnection) -> int:
    """Return the bytes of the database on disk."""
    return int(connection.execute("SELECT pg_database_size(current_database())").fetchone()[0])
