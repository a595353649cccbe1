"""How many submissions are in hand at once."""

from types import TracebackType
from typing import Final, final

from twite.collector.answers import Refused, again


@final
class Gate:
    """Lets `limit` in at a time; raises Refused (429) for the next.

    Only who has shown a key or a signature enters, so strangers cannot fill it.
    """

    __slots__ = ("_inside", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0

    def __enter__(self) -> None:
        if self._inside >= self._limit:
            raise Refused(_BUSY)
        self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside -= 1


_BUSY: Final = again(429, "too_busy")
