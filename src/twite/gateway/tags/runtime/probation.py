"""Probation: templates that exceeded a limit run one turn at a time, with a long pause after each.

A template that hangs is switched off once too many threads were lost.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from twite.domain.alert import AlertKind
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import ConditionChanged, Observer, Troubled
from twite.gateway.tags.runtime.thread_worker import AbandonedThread, HungTurn

PROVEN: Final = 20  # runs in a row within the limits
REST: Final = 19  # times what a turn took: a twentieth of a core goes to it
MOST_HUNG: Final = 2  # turns
OFF: Final = 10 * MINUTE  # callers are told to retry then; only a restart ends it
_IN_HAND: Final = SECOND


class Probation:
    """The probation of one template. Thread-safe.

    `now` is in monotonic milliseconds, `took` in seconds of CPU.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_on = False
        self._rests_until = 0
        self._in_progress = 0
        self._ended_well = 0  # runs in a row
        self._hung = 0  # turns, ever
        self._is_off = False

    @property
    def is_on(self) -> bool:
        """Whether the template is on probation."""
        return self._is_on

    @property
    def is_off(self) -> bool:
        """Whether the template is switched off."""
        return self._is_off

    def wait(self, now: int) -> int:
        """Return the milliseconds until a turn may start; 0 if it may start now."""
        with self._lock:
            return self._wait(now)

    def begin(self, now: int) -> int:
        """Start a turn, or return the wait in milliseconds."""
        with self._lock:
            wait = self._wait(now)
            self._in_progress += wait == 0
            return wait

    def end(self, now: int, *, took: float, spent: bool, done: bool) -> bool | None:
        """Record the end of a turn.

        Return whether the template is now on probation, None if unchanged. `spent` is whether a
        limit was exceeded; `done` whether the run is over.
        """
        with self._lock:
            self._in_progress = max(0, self._in_progress - 1)
            was_on, self._is_on = self._is_on, self._is_on or spent
            if spent:
                self._ended_well = 0
            elif done:
                self._ended_well += 1
            if self._is_on:
                self._rests_until = max(now, self._rests_until) + round(REST * took * SECOND)
                self._is_on = self._ended_well < PROVEN
            return None if self._is_on == was_on else self._is_on

    def hang(self, now: int, *, took: float, too_many: bool) -> bool:
        """Record a hung turn, whose thread was abandoned; return whether the template is now off.

        `too_many` is whether too many threads were lost to risk another.
        """
        self.end(now, took=took, spent=True, done=True)
        with self._lock:
            self._hung += 1
            self._is_off = self._is_off or too_many or self._hung >= MOST_HUNG
            return self._is_off

    def _wait(self, now: int) -> int:
        if self._is_off:
            return OFF
        if not self._is_on:
            return 0
        rest = max(0, self._rests_until - now)
        return max(rest, _IN_HAND) if self._in_progress else rest


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
        """Whether there is time left for another run."""
        now = self._elapsed()
        self._left = min(_MOST_SAVED, self._left + (now - self._at) / SECOND * _CPU_PER_SECOND)
        self._at = now
        return self._left > 0

    def take(self, took: float) -> None:
        """Count a run, given its seconds of CPU."""
        if took > _SLOW_RUN:
            self._left -= took


class Probations:
    """The probations of all templates, by name.

    `elapsed` returns monotonic milliseconds. Methods may be called from any thread; only `report`,
    on the event loop, calls the observer.
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
        """Start a turn, or return the wait in milliseconds."""
        return self._of.setdefault(whose, Probation()).begin(self._elapsed())

    def end(self, whose: str, *, took: float, spent: bool, done: bool = True) -> None:
        """Record the end of a turn.

        `took` is in seconds of CPU; `done` is whether the run is over.
        """
        changed = self._of[whose].end(self._elapsed(), took=took, spent=spent, done=done)
        if changed is not None:
            self._news.append((whose, changed))

    def hang(self, whose: str, hung: HungTurn) -> None:
        """Record a turn that hung. Call it on the event loop."""
        trial = self._of.setdefault(whose, Probation())
        is_off = trial.hang(self._elapsed(), took=hung.took, too_many=self._left.too_many)
        reason = "no limit could end a run of this template, so Twite abandoned the run's thread"
        after = (
            "the template is switched off until a restart"
            if is_off
            else "the template is on probation"
        )
        self._observer.see(Troubled(where=whose, reason=f"{reason}: {after}"))
        reason = (
            f"{reason[0].upper()}{reason[1:]}, which occupies a CPU core until a restart; {after}"
        )
        self._observer.see(
            ConditionChanged(kind=AlertKind.TEMPLATE_HUNG, subject=whose, reason=reason)
        )

    def is_off(self, whose: str) -> bool:
        """Whether a template is switched off until the next start."""
        trial = self._of.get(whose)
        return trial is not None and trial.is_off

    def report(self) -> None:
        """Report changes of probation since the last call."""
        while self._news:
            whose, is_on = self._news.popleft()
            reason = (
                "the template exceeded a limit: it is on probation, and pauses between its runs"
            )
            if not is_on:
                reason = "the template's probation is over"
            self._observer.see(Troubled(where=whose, reason=reason))

    def rest(self, whose: str) -> int | None:
        """Return the length of a template's pauses; None if it is not on probation."""
        trial = self._of.get(whose)
        return trial.wait(self._elapsed()) if trial is not None and trial.is_on else None
