"""Steady: a wall clock that does not jump, within a process and from one to the next.

The machine's wall clock is asked once, at the start; from then on the clock that never jumps moves
this one. Whoever puts the wall clock forward or back meanwhile moves no due moment, ends no lease
and no window. A clock that is wrong all the time does no harm either: ages are differences. What is
left is a clock that was moved between two processes: X's `Date` header tells, and how far X was
ahead of us before is on record.
"""

from collections import deque
from statistics import median_low
from typing import Final

from twite.domain.times import DAY, MINUTE, SECOND
from twite.gateway.ports.store import Clock

# X's Date has whole seconds, and an answer takes its time: smaller differences are noise.
NOTICEABLE: Final = 5 * SECOND
# An answer that was longer on its way says little of when it was dated.
_TELLING: Final = 5 * SECOND
_REMEMBERED: Final = 9
# So many answers must agree before ages go by them: one may be a proxy's own.
_AGREEING: Final = 3
# After so long without a word of X's, the machine's own clock is believed, unless more time seems
# to have gone by since the last moment on record than a process is usually away.
_SILENCE: Final = 5 * MINUTE
_AWAY: Final = DAY


class MonotonicClock:
    """A Clock. Moments are milliseconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.elapsed()
        # What clocks would show when `elapsed` was zero: the machine's, ours, X's as it was told.
        self._machine = self._zero = clock.now() - self._began
        self._heard: deque[int] = deque(maxlen=_REMEMBERED)
        self._ahead_before: int | None = None
        self.ahead: int | None = None
        self._away = 0

    def now(self) -> int:
        """Return wall time, as it was at the start and has gone on since."""
        return self._zero + self._clock.elapsed()

    def elapsed(self) -> int:
        """Return time that never jumps."""
        return self._clock.elapsed()

    async def sleep(self, ms: int) -> None:
        """Wait."""
        await self._clock.sleep(ms)

    @property
    def is_trusted(self) -> bool:
        """Whether anything may be given up for its age: X was heard, or the machine is credible.

        One answer of X's that says otherwise than the machine is not enough: until three agree,
        this clock goes on as the machine's.
        """
        if self.ahead is not None or (self._heard and not self._apart(self._machine)):
            return True
        return self._away <= _AWAY and self._clock.elapsed() - self._began >= _SILENCE

    def vouched(self) -> int | None:
        """Return wall time, or None while nothing may be given up for its age."""
        return self.now() if self.is_trusted else None

    @property
    def offset(self) -> int:
        """How far X's clock is ahead of the machine's, 0 while nothing is known or it is noise."""
        machine = self._clock.now() - self._clock.elapsed()
        return self._apart(machine)

    def theirs(self) -> int:
        """Return what X takes for now, as far as is known."""
        return self.now() + self._apart(self._zero)

    def resume(self, *, latest: int, ahead: int | None) -> None:
        """Hear what is on record: a moment that is past, and how far X was ahead of us then."""
        self._away = self.now() - latest if latest else 0
        self._zero = max(self._zero, latest - self._clock.elapsed())
        self._ahead_before = ahead

    def hear(self, date: int, *, took: int) -> None:
        """Hear what X's clock showed, in whole seconds, within the last `took` milliseconds."""
        if took > _TELLING:
            return
        self._heard.append(date + SECOND // 2 - (self._clock.elapsed() - took // 2))
        middle = median_low(self._heard)
        agreeing = [one for one in self._heard if abs(one - middle) < NOTICEABLE]
        if len(agreeing) >= _AGREEING:
            self._compare()

    def _compare(self) -> None:
        """Go on where the last process was, by X's clock, if the machine's is wrong; note how far.

        A clock that is right is taken at its word: somebody has mended it.
        """
        if self._ahead_before is not None and self._apart(self._machine):
            self._zero += self._apart(self._zero + self._ahead_before)
        self.ahead = self._ahead_before = self._apart(self._zero)

    def _apart(self, zero: int) -> int:
        if not self._heard:
            return 0
        apart = median_low(self._heard) - zero
        return apart if abs(apart) >= NOTICEABLE else 0
