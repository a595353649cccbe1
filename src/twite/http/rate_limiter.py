"""How fast strangers may come: a bucket of tokens for each address, in a table of bounded size."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

MOST_ADDRESSES: Final = 65_536
# One line of a household or a phone has as many addresses as it likes, and this in common.
_PREFIX_BITS: Final = 64


class RateLimiter:
    """Each address has a bucket of `size` tokens that fills up in `per` milliseconds.

    Where more than `most` addresses come, the one that was away longest is forgotten: its bucket is
    the fullest.
    """

    def __init__(self, *, size: int, per: int, most: int = MOST_ADDRESSES) -> None:
        self._size = size
        self._per = per
        self._most = most
        # How far each bucket is from full (a token is `per`), and when that was so.
        self._lacking: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def spend(self, address: str, *, now: int) -> int:
        """Take a token and return 0, or else the milliseconds until there is one.

        `now` is time that never jumps. IPv6 addresses share a bucket by their first 64 bits.
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
