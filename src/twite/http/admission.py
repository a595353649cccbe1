"""Admission control: how many requests are processed at once, and how much memory they take."""

from collections.abc import Mapping
from typing import Final, final

from twite.http.responses import HttpRefusal, again


@final
class AdmissionGate:
    """Admits `requests` at a time, of `size` bytes together; raises HttpRefusal (429) beyond that.

    Only authenticated requests enter, so that strangers cannot fill it. A compressed body counts as
    `largest`, because its inflated size is not known.
    """

    __slots__ = ("_inside", "_largest", "_requests", "_size", "_weight")

    def __init__(self, *, requests: int, size: int, largest: int) -> None:
        self._requests = requests
        self._size = size
        self._largest = largest
        self._inside = 0
        self._weight = 0

    def enter(self, headers: Mapping[bytes, bytes]) -> int:
        """Admit a request; return its weight, which the caller gives back to `leave`."""
        declared = headers.get(b"content-length")
        weight = self._largest
        if declared is not None and b"content-encoding" not in headers:
            weight = min(int(declared), weight)
        # One request is always admitted: a body larger than the whole limit could never enter
        # otherwise.
        if self._inside and (self._inside >= self._requests or self._weight + weight > self._size):
            raise HttpRefusal(_BUSY)
        self._inside += 1
        self._weight += weight
        return weight

    def leave(self, weight: int) -> None:
        self._inside -= 1
        self._weight -= weight


_BUSY: Final = again(429, "too_busy")
