"""Steady: a wall clock that does not jump, and that X sets where ours is wrong.

The machine's wall clock is asked once, at the start; from then on the clock that never jumps moves
this one. Whoever puts the wall clock forward or back meanwhile moves no due moment, ends no lease
and no window. What is left is a wall clock that was wrong at the start: X's `Date` header tells.
"""

from collections import deque
from statistics import median_low
from typing import Final

from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports import Clock

# X's Date has whole seconds, and an answer takes its time: smaller differences are noise.
NOTICEABLE: Final = 5 * SECOND
# An answer that was longer on its way says little of when it was dated.
_TELLING: Final = 5 * SECOND
_REMEMBERED: Final = 9
# So many answers must agree before windows are judged by them: one may be a proxy's own.
_AGREEING: Final = 3
# After so long without a word of X's, the machine's own clock is believed.
_SILENCE: Final = 5 * MINUTE


class SteadyClock:
    """A Clock. Moments are milliseconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.elapsed()
        # What a clock would show when `elapsed` was zero: ours, and X's as it was told.
        self._zero = clock.now() - self._began
        self._heard: deque[int] = deque(maxlen=_REMEMBERED)

    def now(self) -> int:
        """Return wall time, as it was at the start and has gone on since, or as X says."""
        return self._zero + self._clock.elapsed()

    def elapsed(self) -> int:
        """Return time that never jumps."""
        return self._clock.elapsed()

    async def sleep(self, ms: int) -> None:
        """Wait."""
        await self._clock.sleep(ms)

    @property
    def is_trusted(self) -> bool:
        """Whether anything may be given up for its age: X was heard, or is silent for minutes."""
        return bool(self._heard) or self._clock.elapsed() - self._began >= _SILENCE

    @property
    def offset(self) -> int:
        """How far X's clock is ahead of the machine's, 0 while nothing is known or it is noise."""
        machine = self._clock.now() - self._clock.elapsed()
        return self._apart(machine)

    def theirs(self) -> int:
        """Return what X takes for now, as far as is known."""
        return self.now() + self._apart(self._zero)

    def not_before(self, moment: int) -> None:
        """Hear that it is later than a moment: it is on record."""
        self._zero = max(self._zero, moment - self._clock.elapsed())

    def hear(self, date: int, *, took: int) -> None:
        """Hear what X's clock showed, in whole seconds, within the last `took` milliseconds."""
        if took > _TELLING:
            return
        self._heard.append(date + SECOND // 2 - (self._clock.elapsed() - took // 2))
        middle = median_low(self._heard)
        agreeing = [one for one in self._heard if abs(one - middle) < NOTICEABLE]
        if len(agreeing) >= _AGREEING:
            self._zero += self._apart(self._zero)

    def _apart(self, zero: int) -> int:
        if not self._heard:
            return 0
        apart = median_low(self._heard) - zero
        return apart if abs(apart) >= NOTICEABLE else 0
