"""Count conversions as X does: copies by API and by pixel, deduplicated within a window.

The key is (event, conversion id); an event has one home pixel. [doc WEB, GTM]
"""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from twite_emulator.switches import Switches

Channel = Literal["api", "pixel"]


class EventTally(Struct, gc=False):
    """All copies of one (event, conversion id).

    Kept small, because there may be a million tallies.
    """

    api: int = 0
    pixel: int = 0
    counted: int = 0
    api_at: float | None = None  # when the last copy arrived, epoch seconds
    pixel_at: float | None = None
    kept: Channel = "api"  # where the copy that counts came from


class EventCount(Struct):
    """All copies of one event. `deduplicated` counts those left out as duplicates."""

    received_api: int = 0
    received_pixel: int = 0
    counted: int = 0
    deduplicated: int = 0
    api_duplicates: int = 0  # API copies within the window of an earlier API copy, counted or not
    without_id: int = 0
    first_at: float = 0
    last_at: float = 0


class ConversionCounter:
    """The counts of each (pixel, event), and the tallies of their conversion ids."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], EventCount] = {}
        self.tallies: dict[tuple[str, str], dict[str, EventTally]] = {}
        self.unchecked: dict[str, int] = {}  # by pixel, while `checks` is off

    def receive(
        self,
        channel: Channel,
        *,
        event: tuple[str, str],
        conversion_id: str | None,
        at: float,
        switches: Switches,
    ) -> bool:
        """Record one copy; return whether it counts. `event` is (home pixel, event)."""
        count = self.events.get(event)
        if count is None:
            count = self.events[event] = EventCount(first_at=at)
            self.tallies[event] = {}
        count.last_at = at
        if channel == "api":
            count.received_api += 1
        else:
            count.received_pixel += 1
        if conversion_id is None:
            count.without_id += 1
            count.counted += 1
            return True
        tallies = self.tallies[event]
        tally = tallies.get(conversion_id)
        if tally is None:
            tally = tallies[conversion_id] = EventTally()
        if channel == "api" and _within(tally.api_at, at, switches.dedup_window):
            count.api_duplicates += 1
        counts = not _is_copy(tally, channel, at, switches)
        _note(tally, channel, at, counts=counts, keep=switches.dedup_keep)
        if counts:
            count.counted += 1
        else:
            count.deduplicated += 1
        return counts

    def count_unchecked(self, pixel: str, conversions: int) -> None:
        self.unchecked[pixel] = self.unchecked.get(pixel, 0) + conversions

    def ids_of(self, event: tuple[str, str]) -> Iterator[tuple[str, EventTally]]:
        return iter(self.tallies.get(event, {}).items())


def _is_copy(tally: EventTally, channel: Channel, at: float, switches: Switches) -> bool:
    scope, window = switches.dedup_scope, switches.dedup_window
    if scope == "none":
        return False
    by_api = _within(tally.api_at, at, window)
    by_pixel = _within(tally.pixel_at, at, window)
    if channel == "api":
        return by_pixel or (by_api and scope in ("api_api", "all"))
    return by_api or (by_pixel and scope == "all")


def _note(tally: EventTally, channel: Channel, at: float, *, counts: bool, keep: str) -> None:
    if channel == "api":
        tally.api += 1
        tally.api_at = at
    else:
        tally.pixel += 1
        tally.pixel_at = at
    if counts:
        tally.counted += 1
    if counts or keep == "last":
        tally.kept = channel


def _within(earlier: float | None, at: float, window: float) -> bool:
    return earlier is not None and at - earlier <= window
