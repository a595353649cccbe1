"""Claim starts: where claims begin their search, to skip index entries of earlier claims."""

from collections.abc import Mapping
from time import monotonic
from typing import Final

from twite.domain.delivery import Place

# How long claims may miss a delivery that became ready before their place, in seconds. Searches
# from the beginning take at most this share of the time.
_SEARCH_EVERY: Final = 1.0
_SEARCHING: Final = 1 / 10
_MOST: Final = 10.0


class ClaimStarts:
    """The places in the queue after which claims search for ready deliveries, by pixel and event.

    While any older transaction is open, PostgreSQL keeps the index entries of removed deliveries,
    and each claim would read all of them again. Only the owner of an account claims its deliveries,
    so its process knows where the last claim ended.
    """

    def __init__(self) -> None:
        # For each pixel, the places of its events, and the time until which they are valid.
        self._places: dict[str, tuple[dict[int, Place], float]] = {}

    def of(self, pixel: str) -> Mapping[int, Place]:
        """Return the places of a pixel's events."""
        places, until = self._places.get(pixel, ({}, 0.0))
        if monotonic() < until:
            return places
        self._places.pop(pixel, None)
        return {}

    def claimed(self, pixel: str, event: int, last: Place, *, took: float) -> None:
        """Continue behind the last delivery of a full claim, which took `took` seconds."""
        if pixel not in self._places:
            lasts = min(max(_SEARCH_EVERY, took / _SEARCHING), _MOST)
            self._places[pixel] = {}, monotonic() + lasts
        self._places[pixel][0][event] = last

    def ended(self, pixel: str, event: int) -> None:
        """Search from the beginning again: a claim found fewer deliveries than its limit."""
        if pixel in self._places:
            self._places[pixel][0].pop(event, None)

    def made_ready(self, first: int) -> None:
        """Search from the beginning again if a delivery before a place may have become ready."""
        known = (place for places, _ in self._places.values() for place in places.values())
        if any(first <= last for last, _ in known):
            self._places.clear()
