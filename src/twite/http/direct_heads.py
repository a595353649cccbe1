"""Recognize requests whose headers the parser has read before, on any connection."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from twite.domain.destination import Source

END_OF_HEAD: Final = b"\r\n\r\n"
LONGEST_HEAD: Final = 1_024
_MOST_HEADS: Final = 512


class DirectHead(NamedTuple):
    """The parsed head of a request that may be handled directly; `length` is its body's size."""

    source: Source
    weight: int
    length: int
    headers: Sequence[tuple[bytes, bytes]]


class DirectHeads:
    """The heads of recent requests, as raw bytes, with the result of parsing each.

    A head is kept only if it has no idempotency key and its connection stays open.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, DirectHead] = {}
        self.find = self._known.get

    def forget(self) -> None:
        """Forget all heads, so that the next request with each key is authenticated again."""
        self._known.clear()

    def remember(self, raw: bytes, head: DirectHead) -> None:
        if len(self._known) >= _MOST_HEADS:
            self.forget()
        self._known[raw] = head
