"""The base of the schedules of syncs, exports and results."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from twite.domain.errors import LedgerUnavailable, TwiteError
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.store import Store

_UNEXPECTED: Final = "an unexpected error ({}): a bug in Twite, please report it"


class ScheduleLoop(ABC):
    """Begins runs, from `start` to `stop`. Each name has at most one run at a time.

    On PostgreSQL, only the leader of the gateways should begin any. `place` is where problems are
    reported; `every` is in milliseconds.
    """

    place: ProblemPlace
    every: int

    def __init__(self, store: Store, clock: Clock, observer: Observer) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer
        # When each name is due (ms), as far as this process knows.
        self._due: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._runs: dict[str, asyncio.Task[object]] = {}

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        """End all runs. What they have stored stays, and the rest follows after the next start."""
        tasks = [*self._runs.values(), *([] if self._task is None else [self._task])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @abstractmethod
    async def _look(self, *, leads: bool) -> None:
        """Begin the runs that are due. Raises LedgerUnavailable."""

    async def _loop(self) -> None:
        while True:
            ownership = self._store.ownership
            with suppress(LedgerUnavailable):  # the workers report the failure
                await self._look(leads=ownership is None or ownership.is_leader)
            await self._clock.sleep(self.every)

    def _begin(self, name: str, run: Coroutine[Any, Any, object]) -> None:
        task: asyncio.Task[object] = asyncio.create_task(run)
        self._runs[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, task: asyncio.Task[object]) -> None:
        del self._runs[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            # The run itself reports what an operator can change: this is a bug, or the store.
            assert isinstance(error, Exception)  # noqa: S101  # others end the process
            self._observer.see(ProblemSeen.of(self.place, error))

    def _may_be_due(self, name: str, interval: int) -> bool:
        """Whether to look at the last run. A due time beyond the interval is of a longer one.

        A reload may have shortened it, or the clock was ahead.
        """
        now, due = self._clock.now(), self._due.get(name, 0)
        return due <= now or due > now + interval

    def _is_due(self, name: str, last: int | None, interval: int) -> bool:
        """Whether an interval has passed since the last run, which another gateway may have begun.

        Times are in milliseconds. `last` is None if there is a reason to run at once.
        """
        now = self._clock.now()
        due = 0 if last is None else last + interval
        # A clock that was ahead does not delay a run by more than its interval.
        self._due[name] = min(due, now + interval)
        return due <= now or due > now + interval

    def _explain(self, name: str, error: Exception) -> str:
        """Report the error of a run, and return its text."""
        # The text of another error may have values of rows.
        known = isinstance(error, TwiteError)
        said = str(error) if known else _UNEXPECTED.format(type(error).__name__)
        self._observer.see(ProblemSeen(where=self.place, reason=f"{name}: {said}"))
        return said
