"""Upkeep: prune old rows and restore the disk reserve, periodically."""

import asyncio
import time
from collections.abc import Callable
from itertools import count
from typing import Final

import msgspec

from twite.domain.errors import LedgerUnavailable
from twite.domain.times import DAY
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.store import Retention
from twite.stores.sql.pruning import SqlPruner, note_place, place_of
from twite.stores.sql.statements import as_json
from twite.stores.sqlite.engine.owner_session import OwnerSession
from twite.stores.sqlite.engine.reserve import Reserve
from twite.stores.sqlite.engine.writer import Writer

_KEYS: Final = 1_000
# The pause between two walks through the keys.
_REST_OF_KEYS: Final = DAY
_PARTS: Final = 256
# When the disk has space again, submissions are accepted within this time, in seconds.
_LOOK_FOR_ROOM: Final = 0.5
# If the reserve could not be created at the start, one in this many checks tries again.
_LOOK_FOR_MORE: Final = 40
_LOOK_FOR_OLD: Final = 5.0
# The target duration of a slice of pruning. After a slice, the writer is left free for four times
# as long.
_SLICE: Final = 0.004
_SHARE: Final = 4
_LEAST: Final = 16
_MOST: Final = 1_000


class Pruner(SqlPruner[OwnerSession]):
    """Prunes on the writer's thread."""

    def __init__(self, retention: Retention) -> None:
        super().__init__(retention)
        self._part = 0

    def _keys(self, session: OwnerSession, now: int, most: int) -> int:
        place = place_of(session)
        if place.rested_at > now - _REST_OF_KEYS and not place.key:
            return 0
        if not place.histories:
            # No conversion was pruned yet, so no key has expired.
            return 0
        row = session.run("first_kept", histories=place.histories).fetchone()
        before = 0 if row is None else row[0]
        if self._part < _PARTS:
            session.keys.forget(self._part, before)
            self._part += 1
            return 1
        if session.run("forget_logged_keys", before=before, limit=most).rowcount:
            return most
        rows = session.run("next_keys", after=place.key, limit=_KEYS).fetchall()
        old = [key for key, delivery in rows if delivery < before]
        if old:
            session.run("forget_keys", keys=b"".join(old), places=as_json(range(len(old))))
        if len(rows) == _KEYS:
            note_place(session, msgspec.structs.replace(place, key=rows[-1][0]))
            return _KEYS
        self._part = 0
        note_place(session, msgspec.structs.replace(place, key=b"", rested_at=now))
        return 0


class Upkeep:
    """The periodic maintenance, on the event loop, from `start` to `close`."""

    def __init__(
        self,
        *,
        writer: Writer,
        reserve: Reserve,
        retention: Retention | None,
        now: Callable[[], int | None],
        pruned: Callable[[], None],
        observer: Observer,
    ) -> None:
        """Without `retention`, nothing is pruned; `pruned` is called when pruning has finished.

        `now` returns the time (ms) from which ages are calculated, or None while the clock is not
        trusted: a machine whose clock starts in 1970 or 2100 must not prune by it.
        """
        self._writer = writer
        self._reserve = reserve
        self._pruner = None if retention is None else Pruner(retention)
        self._now = now
        self._pruned = pruned
        self._observer = observer
        self._tasks: list[asyncio.Task[None]] = []
        self._size = 128

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._mind_the_room()),
            asyncio.create_task(self._prune()),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _mind_the_room(self) -> None:
        """Keep the reserve, and accept submissions again once it exists."""
        for turn in count():
            looks = self._writer.refusing is not None or not turn % _LOOK_FOR_MORE
            # If no reserve is expected, accept submissions again: the next one tests the disk.
            if looks and (await asyncio.to_thread(self._made) or not self._reserve.given_up):
                self._writer.refusing = None
            await asyncio.sleep(_LOOK_FOR_ROOM)

    def _made(self) -> bool:
        try:
            return self._reserve.make()
        except OSError:
            # Do not give up: the folder may become writable again, and otherwise intake would be
            # refused forever.
            return False

    async def _prune(self) -> None:
        pruner = self._pruner
        if pruner is None:
            return
        something = False
        while True:
            done, took = await self._slice(pruner)
            if not done:
                if something:
                    self._pruned()
                something = False
                await asyncio.sleep(_LOOK_FOR_OLD)
                continue
            something = True
            if took > _SLICE:
                self._size = max(_LEAST, self._size * 3 // 4)
            elif took < _SLICE / 2:
                self._size = min(_MOST, self._size * 5 // 4)
            await asyncio.sleep(max(_SLICE, took) * _SHARE)

    async def _slice(self, pruner: Pruner) -> tuple[int, float]:
        """Prune a slice; return its size and its duration in seconds."""
        now = self._now()
        if now is None:
            return 0, 0.0
        try:
            return await self._writer.submit_act(
                lambda session: _timed(lambda: pruner.slice(session, now=now, most=self._size))
            )
        except LedgerUnavailable:
            # The next request or delivery reports this error.
            return 0, 0.0
        except Exception as fault:  # noqa: BLE001  an unpruned store grows without limit
            self._observer.see(ProblemSeen(where=ProblemPlace.PRUNING, reason=type(fault).__name__))
            return 0, 0.0


def counted_on() -> Callable[[], int]:
    """Return a clock that starts at the current wall time and ignores later clock changes."""
    wall, monotonic = time.time_ns() // 1_000_000, time.monotonic()
    return lambda: wall + int((time.monotonic() - monotonic) * 1_000)


def _timed(act: Callable[[], int]) -> tuple[int, float]:
    began = time.perf_counter()
    return act(), time.perf_counter() - began
