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
        wait = self.wait(key, now=now, tokens=1)
        if not wait:
            self.take(key, 1, now=now)
        return wait

    def take(self, key: str, tokens: int, *, now: int) -> None:
        """Take tokens that are already used, even if the bucket does not have as many."""
        lacked, at = self._lacking.get(key, (0, now))
        lacking = max(0, lacked - (now - at) * self._size) + tokens * self._per
        self._lacking[key] = lacking, now
        self._lacking.move_to_end(key)
        if len(self._lacking) > self._most:
            self._lacking.popitem(last=False)

    def wait(self, key: str, *, now: int, tokens: int = 0) -> int:
        """Return the milliseconds until the bucket has so many tokens; 0 if it has them."""
        lacked, at = self._lacking.get(key, (0, now))
        beyond = lacked - (now - at) * self._size - (self._size - tokens) * self._per
        return -(-beyond // self._size) if beyond > 0 else 0
