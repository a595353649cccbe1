"""Quota: one account's limit, for all lanes and flights that send on it.

Moments are of the clock that never jumps: a wall clock put forward would forget what was sent, one
put back would wait for it twice.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from twite.domain.destination import RATE_WINDOW
from twite.domain.meter import Meter
from twite.domain.times import SECOND
from twite.gateway.ports.store import Clock

# A reset that lies further ahead than this many windows is a wrong header or a wrong clock.
_CREDIBLE: Final = 2


class RateLimit:
    """Whoever sends holds `turn` from asking what is left to spending it.

    Between the two a claim goes to the disk: without a turn, two would spend the same.
    """

    def __init__(
        self,
        *,
        limit: int,
        clock: Clock,
        past: Iterable[tuple[int, int]],
        pixels: Sequence[str] = (),
    ) -> None:
        """`past` are (moment of the wall clock, conversions) of what was sent before.

        `pixels` are those that the limit is for.
        """
        self.limit = limit
        self.pixels = pixels
        self._clock = clock
        ago = clock.elapsed() - clock.now()
        self._meter = Meter(
            limit=limit, window=RATE_WINDOW, past=[(at + ago, many) for at, many in past]
        )
        self._closed_until = 0
        self._noted_until = 0
        self.turn = asyncio.Lock()

    def left(self) -> int:
        """Return how many conversions may be sent now."""
        return self._meter.allowance(self._clock.elapsed())

    def wait(self) -> int:
        """Return milliseconds until more may be sent: 0 is now."""
        now = self._clock.elapsed()
        if self._meter.allowance(now) > 0:
            return 0
        return max(1, self._meter.next_change(now) - now)

    def spend(self, count: int) -> None:
        """Note that `count` conversions go out now."""
        self._meter.spend(self._clock.elapsed(), count)

    @property
    def is_closed_by_x(self) -> bool:
        """Whether X has said that nothing is left."""
        return self._clock.elapsed() < self._closed_until

    def unnoted(self) -> int | None:
        """Return the moment (wall) of a reset that is not on record yet, or None.

        Resets move by less than a second from answer to answer, since X's clock has whole ones.
        """
        now = self._clock.elapsed()
        if self._closed_until <= max(now, self._noted_until + SECOND):
            return None
        return self._closed_until - now + self._clock.now()

    def noted(self, until: int) -> None:
        """Hear that the reset of this moment (wall) is on record."""
        self._noted_until = until - self._clock.now() + self._clock.elapsed()

    def obey(self, *, left: int, reset: int) -> None:
        """Note what X says is left until a moment of the wall clock.

        Answers overtake each other: a word that nothing is left is not taken back by one of before.
        """
        now = self._clock.elapsed()
        at = reset - self._clock.now() + now
        if at > now + _CREDIBLE * RATE_WINDOW:
            return
        if left <= 0:
            self._closed_until = at = max(self._closed_until, at)
        elif now < self._closed_until:
            return
        self._meter.obey(left=left, reset=at)
