"""How many submissions are in hand at once, and how much memory they may take."""

from collections.abc import Mapping
from typing import Final, final

from twite.http.responses import HttpRefusal, again


@final
class AdmissionGate:
    """Lets in `requests` at a time, of `size` bytes together; raises Refused (429) for the next.

    Only who has shown a key or a signature enters, so strangers cannot fill it. A body that does
    not say how long it will be, once inflated, counts as `largest`.
    """

    __slots__ = ("_inside", "_largest", "_requests", "_size", "_weight")

    def __init__(self, *, requests: int, size: int, largest: int) -> None:
        self._requests = requests
        self._size = size
        self._largest = largest
        self._inside = 0
        self._weight = 0

    def enter(self, headers: Mapping[bytes, bytes]) -> int:
        """Return the weight, to be given back to `leave`."""
        declared = headers.get(b"content-length")
        weight = self._largest
        if declared is not None and b"content-encoding" not in headers:
            weight = min(int(declared), weight)
        # One always fits, or a body larger than all that may be in hand would never be taken.
        if self._inside and (self._inside >= self._requests or self._weight + weight > self._size):
            raise HttpRefusal(_BUSY)
        self._inside += 1
        self._weight += weight
        return weight

    def leave(self, weight: int) -> None:
        self._inside -= 1
        self._weight -= weight


_BUSY: Final = again(429, "too_busy")
