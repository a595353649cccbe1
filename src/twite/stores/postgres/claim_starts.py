"""Claim starts: where claims begin to search, so that they do not read what earlier ones left."""

from collections.abc import Mapping
from time import monotonic
from typing import Final

# How long a claim may miss a delivery that became ready behind those of the last claim, in seconds.
# The search for such deliveries takes at most this share of the time.
_SEARCH_EVERY: Final = 1.0
_SEARCHING: Final = 1 / 10
_MOST: Final = 10.0


class ClaimStarts:
    """The rank at which the search for the ready deliveries of an event begins.

    While another transaction is open, the index entries of removed deliveries stay, and each claim
    would read all of them again. Only the owner of an account claims its deliveries, so its process
    knows where the last claim ended.
    """

    def __init__(self) -> None:
        # By pixel: the ranks of its events, and when they are no longer valid.
        self._ranks: dict[str, tuple[dict[int, int], float]] = {}

    def of(self, pixel: str) -> Mapping[int, int]:
        """Return the ranks of a pixel's events."""
        ranks, until = self._ranks.get(pixel, ({}, 0.0))
        if monotonic() < until:
            return ranks
        self._ranks.pop(pixel, None)
        return {}

    def claimed(self, pixel: str, event: int, rank: int, *, took: float) -> None:
        """Continue at the last delivery of a full claim, which took so many seconds."""
        if pixel not in self._ranks:
            lasts = min(max(_SEARCH_EVERY, took / _SEARCHING), _MOST)
            self._ranks[pixel] = {}, monotonic() + lasts
        self._ranks[pixel][0][event] = rank

    def ended(self, pixel: str, event: int) -> None:
        """Begin at the first again, because a claim found fewer deliveries than its limit."""
        if pixel in self._ranks:
            self._ranks[pixel][0].pop(event, None)

    def made_ready(self, rank: int) -> None:
        """Begin at the first again if deliveries from this rank on may have become ready."""
        if any(rank < start for ranks, _ in self._ranks.values() for start in ranks.values()):
            self._ranks.clear()
