"""Rate limit meter: a sliding window of sent conversions, corrected by X's headers."""

from collections import deque
from collections.abc import Iterable
from typing import Final

# A reset that lies further ahead than this many windows is a wrong header or a wrong clock.
_CREDIBLE: Final = 2


class Meter:
    """Counts conversions sent against one limit, in any window of the given length.

    Moments are milliseconds of one clock. Not a value: it moves with what is sent.
    """

    def __init__(self, *, limit: int, window: int, past: Iterable[tuple[int, int]] = ()) -> None:
        self._limit = limit
        self._window = window
        self._sent: deque[tuple[int, int]] = deque(sorted(past))
        self._total = sum(count for _, count in self._sent)
        self._left: int | None = None
        self._reset = 0

    def allowance(self, now: int) -> int:
        """Return how many conversions may be sent at this moment."""
        self._forget(now)
        own = max(0, self._limit - self._total)
        if self._left is not None and self._is_limited(now):
            return min(own, max(0, self._left))
        return own

    def next_change(self, now: int) -> int:
        """Return the moment at which the allowance may have grown."""
        moments = []
        if self._sent and self._total >= self._limit:
            moments.append(self._sent[0][0] + self._window)
        if self._left is not None and self._left <= 0 and self._is_limited(now):
            moments.append(self._reset)
        return max(moments, default=now)

    def spend(self, now: int, count: int) -> None:
        """Note that `count` conversions go out now."""
        self._forget(now)
        if self._sent and self._sent[-1][0] == now:
            count_before = self._sent.pop()[1]
            self._sent.append((now, count_before + count))
        else:
            self._sent.append((now, count))
        self._total += count
        if self._left is not None:
            self._left -= count

    def obey(self, *, left: int, reset: int) -> None:
        """Note what X says is left until a moment.

        Whether X counts conversions or requests is not known [conflict]: read as conversions it
        holds under both.
        """
        self._left = left
        self._reset = reset

    def _is_limited(self, now: int) -> bool:
        return now < self._reset <= now + _CREDIBLE * self._window

    def _forget(self, now: int) -> None:
        # The clock went back: what seems to be sent later than now counts as sent now.
        ahead = 0
        while self._sent and self._sent[-1][0] > now:
            ahead += self._sent.pop()[1]
        if ahead:
            self._sent.append((now, ahead))
        while self._sent and self._sent[0][0] <= now - self._window:
            self._total -= self._sent.popleft()[1]
