"""Monotonic clock: wall time that does not jump, within a process and across restarts.

The clock reads the wall clock once at the start, and then follows the monotonic clock. Changes of
the wall clock therefore do not affect due times, leases or rate limit windows. A constant error is
harmless, too, because ages are differences. X's `Date` header, and the offset that the last process
stored, show whether the wall clock was changed between two processes.
"""

from collections import deque
from typing import Final

from twite.domain.times import DAY, MINUTE, SECOND
from twite.gateway.ports.machine import Clock

# X's Date has whole seconds, and a response takes time: smaller differences are noise.
NOTICEABLE: Final = 5 * SECOND
# If a response took longer, its Date is ignored.
_TELLING: Final = 5 * SECOND
_REMEMBERED: Final = 9
# This many responses must agree on X's time, because one may come from a proxy.
_AGREEING: Final = 3
# Without a response for this long, trust the machine's clock, unless the process seems to have
# been down for longer than _AWAY.
_SILENCE: Final = 5 * MINUTE
_AWAY: Final = DAY


class MonotonicClock:
    """The gateway's Clock. Times are in milliseconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.elapsed = clock.elapsed
        self._began = clock.elapsed()
        # The wall time when `elapsed` was zero: by the machine, by this clock, and by X's
        # responses.
        self._machine = self._zero = clock.now() - self._began
        self._heard: deque[int] = deque(maxlen=_REMEMBERED)
        self._ahead_before: int | None = None
        self.ahead: int | None = None
        self._away = 0

    def now(self) -> int:
        return self._zero + self._clock.elapsed()

    async def sleep(self, ms: int) -> None:
        await self._clock.sleep(ms)

    @property
    def is_trusted(self) -> bool:
        """Whether deliveries may be given up because of their age.

        The time is trusted if X's responses confirm it, or if the machine's clock is plausible. If
        X disagrees, three responses must agree before X's time is used.
        """
        if self.ahead is not None or (self._heard and not self._apart(self._machine)):
            return True
        return self._away <= _AWAY and self._clock.elapsed() - self._began >= _SILENCE

    @property
    def may_hold_ambiguous(self) -> bool:
        """Whether ambiguous deliveries may be held because of their age.

        By this clock, they are too old to be sent. If there is nothing else to send, no response of
        X can confirm the clock, so a time without responses is enough.
        """
        is_silent = not self._heard and self._clock.elapsed() - self._began >= _SILENCE
        return self.is_trusted or is_silent

    def vouched(self) -> int | None:
        """Return the wall time, or None while it is not trusted."""
        return self.now() if self.is_trusted else None

    @property
    def offset(self) -> int:
        """How far X's clock is ahead of the machine's (ms); 0 if unknown or within noise."""
        return self._apart(self._clock.now() - self._clock.elapsed())

    def theirs(self) -> int:
        """Return X's time, if known; otherwise this clock's."""
        return self.now() + self._apart(self._zero)

    def resume(self, *, latest: int, ahead: int | None) -> None:
        """Restore the stored state: the latest recorded time, and X's offset at that time."""
        self._away = self.now() - latest if latest else 0
        self._zero = max(self._zero, latest - self._clock.elapsed())
        self._ahead_before = ahead

    def observe(self, date: int, *, took: int) -> None:
        """Record X's Date header (ms, whole seconds) from a response after `took` milliseconds."""
        if took > _TELLING:
            return
        self._heard.append(date + SECOND // 2 - (self._clock.elapsed() - took // 2))
        middle = self._middle()
        agreeing = [zero for zero in self._heard if abs(zero - middle) < NOTICEABLE]
        if len(agreeing) >= _AGREEING:
            self._compare()

    def _compare(self) -> None:
        """Correct this clock by X's time and the stored offset, if the machine's clock is wrong.

        If the machine's clock agrees with X, its time is used unchanged, because a user has
        corrected it.
        """
        if self._ahead_before is not None and self._apart(self._machine):
            self._zero += self._apart(self._zero + self._ahead_before)
        self.ahead = self._ahead_before = self._apart(self._zero)

    def _apart(self, zero: int) -> int:
        if not self._heard:
            return 0
        apart = self._middle() - zero
        return apart if abs(apart) >= NOTICEABLE else 0

    def _middle(self) -> int:
        """Return the lower median."""
        return sorted(self._heard)[(len(self._heard) - 1) // 2]
