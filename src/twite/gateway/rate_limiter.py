"""Rate limiter: a token bucket for each key, in a table of bounded size."""

from collections import OrderedDict
from typing import Final

MOST_KEYS: Final = 65_536


class RateLimiter:
    """A rate limiter. Each key has a bucket of `size` tokens, which fills up in `per` milliseconds.

    Beyond `most` keys, the least recently used key is dropped: its bucket is probably the fullest.
    """

    def __init__(self, *, size: int, per: int, most: int = MOST_KEYS) -> None:
        self._size = size
        self._per = per
        self._most = most
        # By key: how much the bucket lacked (a token counts as `per`), and at what time.
        self._lacking: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def spend(self, key: str, *, now: int) -> int:
        """Take a token and return 0, or return the milliseconds until there is one.

        `now` is a monotonic time.
        """
        lacking = self._lack(key, now) + self._per
        beyond = lacking - self._per * self._size
        if beyond > 0:
            return -(-beyond // self._size)
        self._put(key, lacking, now)
        return 0

    def take(self, key: str, tokens: int, *, now: int) -> None:
        """Take tokens that are already used, even if the bucket does not have as many."""
        self._put(key, self._lack(key, now) + tokens * self._per, now)

    def wait(self, key: str, *, now: int) -> int:
        """Return the milliseconds until the bucket is not in debt; 0 if it is not."""
        lacked, at = self._lacking.get(key, (0, now))
        beyond = lacked - (now - at + self._per) * self._size
        return -(-beyond // self._size) if beyond > 0 else 0

    def _lack(self, key: str, now: int) -> int:
        lacked, at = self._lacking.get(key, (0, now))
        return max(0, lacked - (now - at) * self._size)

    def _put(self, key: str, lacking: int, now: int) -> None:
        self._lacking[key] = lacking, now
        self._lacking.move_to_end(key)
        if len(self._lacking) > self._most:
            self._lacking.popitem(last=False)
