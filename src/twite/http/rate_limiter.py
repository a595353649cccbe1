"""Rate limiter: a token bucket for each client address, in a table of bounded size."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

MOST_ADDRESSES: Final = 65_536
# A household or a phone can use any address of its /64, so these share a bucket.
_PREFIX_BITS: Final = 64


class RateLimiter:
    """Each address has a bucket of `size` tokens that fills up in `per` milliseconds.

    Beyond `most` addresses, the least recent one is forgotten: its bucket is the fullest.
    """

    def __init__(self, *, size: int, per: int, most: int = MOST_ADDRESSES) -> None:
        self._size = size
        self._per = per
        self._most = most
        # How far each bucket is from full (a token counts `per`), and at which time.
        self._lacking: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def spend(self, address: str, *, now: int) -> int:
        """Take a token and return 0, or return the milliseconds until there is one.

        `now` is a monotonic time. IPv6 addresses share a bucket by their first 64 bits.
        """
        whose = _shared_part(address)
        lacked, at = self._lacking.get(whose, (0, now))
        lacking = max(0, lacked - (now - at) * self._size) + self._per
        beyond = lacking - self._per * self._size
        if beyond > 0:
            return -(-beyond // self._size)
        self._lacking[whose] = lacking, now
        self._lacking.move_to_end(whose)
        if len(self._lacking) > self._most:
            self._lacking.popitem(last=False)
        return 0


def _shared_part(address: str) -> str:
    if ":" not in address:
        return address
    read = ip_address(address)
    if not isinstance(read, IPv6Address):
        return address
    return str(int(read) >> (128 - _PREFIX_BITS))
