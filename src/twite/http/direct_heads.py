"""Recognize requests whose headers the parser has read before, on any connection."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from twite.domain.destination import Source

END_OF_HEAD: Final = b"\r\n\r\n"
LONGEST_HEAD: Final = 1_024
_MOST_HEADS: Final = 512


class DirectHead(NamedTuple):
    """The content of a request's head, if admissible; its body has `length` bytes."""

    source: Source
    weight: int
    length: int
    headers: Sequence[tuple[bytes, bytes]]


class DirectHeads:
    """The heads of recent requests, as bytes, with what the parser read in them.

    Only heads without an idempotency key are kept, of connections that stay open.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, DirectHead] = {}
        self.find = self._known.get

    def remember(self, raw: bytes, head: DirectHead) -> None:
        if len(self._known) >= _MOST_HEADS:
            self._known.clear()
        self._known[raw] = head
