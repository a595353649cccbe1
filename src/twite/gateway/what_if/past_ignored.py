"""Ignored events that would be conversions under other settings.

They are not stored. They are counted by name and UTC day, so it is known when there were some, but
not which conversion ids they had.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from twite.domain.destination import Source
from twite.domain.submission import Endpoint, Ignored, IgnoredTally
from twite.domain.times import DAY
from twite.formats.event_data.conversions import UNKNOWN_TO_X, our_name
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.report import IgnoredEvents

_VALUE_LIMIT: Final = "value_limit"


class PastIgnored:
    """Counts of ignored events, read under `new_settings`.

    `current_settings` are those that ignored them.
    """

    def __init__(
        self,
        tallies: Sequence[IgnoredTally],
        *,
        new_settings: IntakeSettings,
        current_settings: IntakeSettings,
    ) -> None:
        self._new_settings, self._current_settings = new_settings, current_settings
        self._tallies = [tally for tally in tallies if tally.name and self._may_be_read(tally)]
        # By pixel and X's event, the days on which such a conversion would have arrived.
        self._days: dict[tuple[str, str], set[int]] = {}
        for tally in self._tallies:
            source = new_settings.source(tally.source)
            for pixel in () if source is None else {source.pixel, *source.pixels}:
                event = self._event(tally, pixel)
                if event is not None and self._may_be_new(tally, pixel):
                    self._days.setdefault((pixel, event), set()).add(tally.day)

    def __bool__(self) -> bool:
        """Return whether any event may have been a conversion."""
        return bool(self._days)

    def had(self, pixel: str, event: str, *, since: int, until: int) -> bool:
        """Return whether such a conversion may have arrived between two times (ms)."""
        days = self._days.get((pixel, event), ())
        return any(since // DAY <= day <= until // DAY for day in days)

    def now_known(self, *, since: int, until: int) -> Iterator[IgnoredEvents]:
        """Yield the events that were ignored on the days of a range, and would not be now."""
        sums: dict[tuple[str, str, str, str], int] = {}
        for tally in self._tallies:
            source = self._new_settings.source(tally.source)
            event = None if source is None else self._event(tally, source.pixel)
            if event is None or not since // DAY * DAY <= tally.day * DAY < until:
                continue
            if source is not None and _is_limited(tally, source):
                continue  # some of them, but how many is not stored
            key = tally.source, tally.name, tally.reason, event
            sums[key] = sums.get(key, 0) + tally.times
        for (by, name, reason, event), times in sums.items():
            yield IgnoredEvents(source=by, name=name, reason=reason, event=event, times=times)

    def _may_be_read(self, tally: IgnoredTally) -> bool:
        """Return whether the new settings may not ignore an event for this reason."""
        if tally.reason != _VALUE_LIMIT:
            return tally.reason in UNKNOWN_TO_X
        before = self._current_settings.source(tally.source)
        source = self._new_settings.source(tally.source)
        if source is None or source.browser_value_limit is None:
            return source is not None
        had = None if before is None else before.browser_value_limit
        return had is None or had < source.browser_value_limit

    def _may_be_new(self, tally: IgnoredTally, pixel: str) -> bool:
        """Return whether an event may have been ignored that would be a conversion of a pixel.

        If the pixel knew it then, it was ignored for another pixel, perhaps the source's own.
        """
        if tally.reason == _VALUE_LIMIT:
            return True
        before = self._current_settings.source(tally.source)
        source = self._new_settings.source(tally.source)
        if before is None or source is None or pixel == source.pixel != before.pixel:
            return True
        return self._event(tally, pixel, self._current_settings) is None

    def _event(
        self, tally: IgnoredTally, pixel: str, settings: IntakeSettings | None = None
    ) -> str | None:
        """Return X's event for an ignored event; None if it would be ignored again."""
        settings = settings or self._new_settings
        source = settings.source(tally.source)
        destination = settings.destinations.get(pixel)
        if source is None or destination is None:
            return None
        if tally.endpoint == Endpoint.BEACON:
            return destination.events.get(tally.name.strip().lower())
        name = our_name(tally.name, chosen=source.events, known=destination.events)
        return None if isinstance(name, Ignored) else destination.events[name]


def _is_limited(tally: IgnoredTally, source: Source) -> bool:
    return tally.reason == _VALUE_LIMIT and source.browser_value_limit is not None
