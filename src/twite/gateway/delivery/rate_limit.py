"""Rate limit of one account, shared by all workers that send with it.

Times are monotonic: a wall clock set forward would forget what was sent, and one set back would
wait twice.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from twite.domain.destination import RATE_WINDOW
from twite.domain.meter import Meter
from twite.domain.times import SECOND
from twite.gateway.ports.machine import Clock

# A reset that lies further ahead than this many windows is a wrong header or a wrong clock.
_CREDIBLE: Final = 2


class RateLimit:
    """The conversions an account may still send in its window.

    Workers hold `lock` from reading `left` to `spend`: a claim is written to disk between the two.
    """

    def __init__(
        self,
        *,
        limit: int,
        clock: Clock,
        past: Iterable[tuple[int, int]],
        pixels: Sequence[str] = (),
    ) -> None:
        """`past` are (wall time, conversions) sent before; `pixels` share the limit."""
        self.limit = limit
        self.pixels = pixels
        self._clock = clock
        ago = clock.elapsed() - clock.now()
        self._meter = Meter(
            limit=limit, window=RATE_WINDOW, past=[(at + ago, many) for at, many in past]
        )
        self._closed_until = 0
        self._noted_until = 0
        self.lock = asyncio.Lock()

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
        """Count `count` conversions as sent now."""
        self._meter.spend(self._clock.elapsed(), count)

    @property
    def is_closed_by_x(self) -> bool:
        """Whether X has said that the limit is used up."""
        return self._clock.elapsed() < self._closed_until

    def unnoted(self) -> int | None:
        """Return the wall time of a reset that is not stored yet, or None.

        Differences below a second are ignored: X's clock has whole seconds.
        """
        now = self._clock.elapsed()
        if self._closed_until <= max(now, self._noted_until + SECOND):
            return None
        return self._closed_until - now + self._clock.now()

    def noted(self, until: int) -> None:
        """Record that the reset at this wall time is stored."""
        self._noted_until = until - self._clock.now() + self._clock.elapsed()

    def obey(self, *, left: int, reset: int) -> None:
        """Apply X's headers: `left` conversions until `reset` (wall time).

        Responses overtake each other: once X said zero, an older response does not reopen it.
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
