"""The probations of all tags and variable templates, by name."""

from collections import deque
from collections.abc import Callable
from typing import Final

from twite.domain.times import SECOND
from twite.gateway.ports.events import Observer, Troubled
from twite.gateway.tags.runtime.probation import Probation
from twite.gateway.tags.runtime.thread_worker import AbandonedThread, HungTurn, hung_notices

_SLOW_RUN: Final = 0.005  # seconds of CPU: a shorter run is not counted
_CPU_PER_SECOND: Final = 0.25
_MOST_SAVED: Final = 0.25  # seconds of CPU


class CpuBudget:
    """The CPU budget of one variable at ingest, where the client waits.

    `elapsed` returns monotonic milliseconds.
    """

    def __init__(self, *, elapsed: Callable[[], int]) -> None:
        self._elapsed = elapsed
        self._left = _MOST_SAVED
        self._at = elapsed()

    @property
    def is_left(self) -> bool:
        """Whether there is any for one more run."""
        now = self._elapsed()
        self._left = min(_MOST_SAVED, self._left + (now - self._at) / SECOND * _CPU_PER_SECOND)
        self._at = now
        return self._left > 0

    def take(self, took: float) -> None:
        """Count a run of so many seconds of CPU."""
        if took > _SLOW_RUN:
            self._left -= took


class Probations:
    """One trial for each name. `elapsed` tells milliseconds that never jump.

    It may be asked from any thread; the observer is told in the loop alone, by `tell`.
    """

    def __init__(
        self, *, elapsed: Callable[[], int], observer: Observer, left: AbandonedThread
    ) -> None:
        self._elapsed = elapsed
        self._observer = observer
        self._left = left
        self._of: dict[str, Probation] = {}
        self._shares: dict[str, CpuBudget] = {}
        self._news: deque[tuple[str, bool]] = deque()

    def share(self, whose: str) -> CpuBudget:
        """Return a variable's remaining time at intake. Call it in the intake thread only."""
        found = self._shares.get(whose)
        if found is None:
            found = self._shares[whose] = CpuBudget(elapsed=self._elapsed)
        return found

    def begin(self, whose: str) -> int:
        """Begin a turn, or return how many milliseconds there are to wait."""
        return self._of.setdefault(whose, Probation()).begin(self._elapsed())

    def end(self, whose: str, *, took: float, spent: bool) -> None:
        """Record the end of a run. `took` is in seconds of CPU."""
        changed = self._of[whose].end(self._elapsed(), took=took, spent=spent, done=True)
        if changed is not None:
            self._news.append((whose, changed))

    def hang(self, whose: str, hung: HungTurn) -> None:
        """Record a turn that hung. Call it on the event loop."""
        trial = self._of.setdefault(whose, Probation())
        is_off = trial.hang(self._elapsed(), took=hung.took, too_many=self._left.too_many)
        for notice in hung_notices(whose, is_off=is_off):
            self._observer.see(notice)

    def is_off(self, whose: str) -> bool:
        """Whether a template is switched off until the next start."""
        trial = self._of.get(whose)
        return trial is not None and trial.is_off

    def tell(self) -> None:
        """Report changes of probation since the last call."""
        while self._news:
            whose, is_on = self._news.popleft()
            reason = "exceeded a limit: it is on trial, and is paused between its runs"
            if not is_on:
                reason = "ran well often enough: its trial is over"
            self._observer.see(Troubled(where=whose, reason=reason))

    def rest(self, whose: str) -> int | None:
        """Return how long it pauses from now on; None if it is not on probation."""
        trial = self._of.get(whose)
        return trial.wait(self._elapsed()) if trial is not None and trial.is_on else None
