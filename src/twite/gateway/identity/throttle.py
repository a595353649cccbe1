"""Login throttle: count failures by key, and make further attempts wait longer.

In memory: after a restart, all begin anew.
"""

from collections import OrderedDict
from typing import Final

from twite.domain.times import MINUTE, SECOND

MOST_KEYS: Final = 16_384
_LONGEST: Final = 15 * MINUTE
_FORGOTTEN_AFTER: Final = 60 * MINUTE


class LoginThrottle:
    """After `free` failures each further one doubles the wait, from one second to 15 minutes.

    An hour without a failure forgets them. Of more than MOST_KEYS, the one that failed longest ago
    is forgotten.
    """

    def __init__(self, *, free: int) -> None:
        self._free = free
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def wait(self, key: str, *, now: int) -> int:
        """Return the milliseconds that the key must wait; `now` is monotonic."""
        times, at = self._failures.get(key, (0, now))
        if times < self._free or now - at >= _FORGOTTEN_AFTER:
            return 0
        return max(0, at + min(_LONGEST, SECOND << min(times - self._free, 20)) - now)

    def failed(self, key: str, *, now: int) -> None:
        """Count a failure."""
        times, at = self._failures.pop(key, (0, now))
        if now - at >= _FORGOTTEN_AFTER:
            times = 0
        self._failures[key] = times + 1, now
        if len(self._failures) > MOST_KEYS:
            self._failures.popitem(last=False)

    def took_back(self, key: str) -> None:
        """Take back one counted failure."""
        times, at = self._failures.get(key, (0, 0))
        if times > 1:
            self._failures[key] = times - 1, at
        else:
            self._failures.pop(key, None)

    def forget(self, key: str) -> None:
        """Reset the count of a key."""
        self._failures.pop(key, None)
