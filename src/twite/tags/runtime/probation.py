"""Probation: templates that exceeded a limit run one turn at a time, with a long pause after each.

A turn during which the engine process ends counts as an exceeded limit.
"""

from collections.abc import Callable
from typing import Final

from twite.domain.alert import AlertKind
from twite.domain.times import SECOND
from twite.gateway.ports.events import ConditionChanged, Observer, ProblemSeen
from twite.gateway.rate_limiter import RateLimiter
from twite.tags.ports.engines import EngineLost

PROVEN: Final = 20  # consecutive runs within the limits
REST: Final = 19  # times the turn: so a template gets a twentieth of a core
_IN_PROGRESS: Final = SECOND
_NEW_PROCESS: Final = 0.05  # minimum CPU seconds charged for a turn that ended its process
_SLOW_RUN: Final = 0.005  # CPU seconds: shorter runs are not charged
# The CPU time of a variable at ingest, or of a tag's first turns, for which a client waits.
_CPU_MICROSECONDS_PER_SECOND: Final = 250_000


class Probation:
    """The probation of one template.

    `now` is in monotonic milliseconds, `took` in CPU seconds.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._rests_until = 0
        self._in_progress = 0
        self._ended_well = 0  # consecutive runs within the limits

    def wait(self, now: int) -> int:
        """Return the milliseconds until a turn may start; 0 if it may start now."""
        if not self.is_on:
            return 0
        rest = max(0, self._rests_until - now)
        return max(rest, _IN_PROGRESS) if self._in_progress else rest

    def begin(self, now: int) -> int:
        """Start a turn and return 0, or return the milliseconds to wait."""
        wait = self.wait(now)
        self._in_progress += wait == 0
        return wait

    def end(self, now: int, *, took: float, spent: bool, done: bool) -> bool | None:
        """Record the end of a turn.

        Return whether the template is now on probation, or None if that has not changed. `spent` is
        whether the turn exceeded a limit, `done` whether the run is over.
        """
        self._in_progress = max(0, self._in_progress - 1)
        was_on, self.is_on = self.is_on, self.is_on or spent
        if spent:
            self._ended_well = 0
        elif done:
            self._ended_well += 1
        if self.is_on:
            self._rests_until = max(now, self._rests_until) + round(REST * took * SECOND)
            self.is_on = self._ended_well < PROVEN
        return None if self.is_on == was_on else self.is_on


class Probations:
    """The probations of all templates, by name. `elapsed` returns monotonic milliseconds."""

    def __init__(self, *, elapsed: Callable[[], int], observer: Observer) -> None:
        self._elapsed = elapsed
        self._observer = observer
        self._of: dict[str, Probation] = {}
        self._cpu_limiter = RateLimiter(size=_CPU_MICROSECONDS_PER_SECOND, per=SECOND)

    def has_cpu_time(self, whose: str) -> bool:
        """Whether a variable at ingest, or a tag's first turns, have CPU time left for a run."""
        return not self._cpu_limiter.wait(whose, now=self._elapsed())

    def charge(self, whose: str, took: float) -> None:
        """Subtract a run from the CPU time, given its CPU seconds."""
        if took > _SLOW_RUN:
            self._cpu_limiter.take(whose, round(took * 1_000_000), now=self._elapsed())

    def begin(self, whose: str) -> int:
        """Start a turn and return 0, or return the milliseconds to wait."""
        return self._of.setdefault(whose, Probation()).begin(self._elapsed())

    def end(self, whose: str, *, took: float, spent: bool, done: bool = True) -> None:
        """Record the end of a turn.

        `took` is in CPU seconds; `done` is whether the run is over.
        """
        changed = self._of[whose].end(self._elapsed(), took=took, spent=spent, done=done)
        if changed is None:
            return
        reason = (
            "the template exceeded a limit: Twite now pauses it after each run"
            if changed
            else "the template had enough successful runs: Twite no longer pauses it"
        )
        self._observer.see(ProblemSeen(where=whose, reason=reason))

    def lose(self, whose: str, lost: EngineLost) -> None:
        """Record a turn during which the engine process ended. To be called instead of `end`."""
        trial = self._of.setdefault(whose, Probation())
        trial.end(self._elapsed(), took=max(lost.took, _NEW_PROCESS), spent=True, done=True)
        reason = f"{lost}: Twite now pauses the template after each run"
        self._observer.see(ProblemSeen(where=whose, reason=reason))
        reason = f"{reason[0].upper()}{reason[1:]}"
        self._observer.see(
            ConditionChanged(kind=AlertKind.TEMPLATE_HUNG, subject=whose, reason=reason)
        )

    def rest(self, whose: str) -> int | None:
        """Return the length of a template's pauses; None if it is not on probation."""
        trial = self._of.get(whose)
        return trial.wait(self._elapsed()) if trial is not None and trial.is_on else None
