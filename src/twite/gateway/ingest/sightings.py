"""Sightings: record by which path a conversion id came, for the deduplication report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twite.domain.conversion import Conversion
from twite.domain.destination import Destination, Source
from twite.domain.stats.sightings import (
    Sighting,
    SightingPath,
    marks,
)
from twite.domain.submission import Endpoint
from twite.formats.beacon.shape import BeaconTwin
from twite.formats.native.conversion import MAX_ID, ReadConversion

_GIVEN: Final[Mapping[BeaconTwin, SightingPath]] = {
    BeaconTwin.LOADED: SightingPath.PIXEL,
    # The page was left before X's script reported itself. It had usually loaded.
    BeaconTwin.CALLED: SightingPath.PIXEL,
    BeaconTwin.BLOCKED: SightingPath.BLOCKED,
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Watch:
    """Makes sightings for the `watched` pixels: only those have reports from pages."""

    pixels: frozenset[str] = frozenset()
    destinations: Mapping[str, Destination]
    salt: bytes

    def of(
        self,
        results: Sequence[ReadConversion],
        *,
        endpoint: Endpoint,
        now: int,
        twins: Sequence[BeaconTwin] = (),
    ) -> tuple[Sighting, ...]:
        """Return the sightings of a request. A beacon has one of `twins` for each of `results`.

        A suppressed or held conversion is not a sighting at the gateway, but its report to X's
        pixel is a sighting.
        """
        seen: list[Sighting] = []
        way = SightingPath.PAGE if endpoint is Endpoint.BEACON else SightingPath.SERVER
        for result in results:
            if result.pixel not in self.pixels:
                continue
            conversion = result.conversion
            sent = conversion is not None and result.suppressed is None and result.held is None
            if conversion is not None and sent:
                seen.append(self._sighting(conversion, way, at=now))
            given = _GIVEN.get(twins[result.index]) if twins else None
            if given is not None:
                seen += self._twin(result, given, now=now)
        return tuple(seen)

    def of_x(self, conversions: Iterable[Conversion], *, now: int) -> tuple[Sighting, ...]:
        """Return the sightings of a request in X's format."""
        return tuple(
            self._sighting(conversion, SightingPath.SERVER, at=now)
            for conversion in conversions
            if conversion.pixel in self.pixels
        )

    def _sighting(self, conversion: Conversion, way: SightingPath, *, at: int) -> Sighting:
        return Sighting(
            pixel=conversion.pixel,
            event=conversion.event,
            conversion_id=conversion.conversion_id,
            way=way,
            at=at,
            **marks(conversion, salt=self.salt),
        )

    def _twin(self, result: ReadConversion, way: SightingPath, *, now: int) -> list[Sighting]:
        """Return the sighting at X's pixel, at the page's time but not in the future."""
        conversion = result.conversion
        if conversion is not None:
            return [self._sighting(conversion, way, at=min(conversion.time, now))]
        # The gateway rejected it (say, without an identifier): only X's pixel has it.
        given = result.scrubbed
        event = self.destinations[result.pixel].events.get((given.event or "").strip().lower())
        identity = "" if given.conversion_id is None else str(given.conversion_id).strip()
        if event is None or not 0 < len(identity) <= MAX_ID:
            return []
        return [Sighting(pixel=result.pixel, event=event, conversion_id=identity, way=way, at=now)]


def watched(sources: Iterable[Source]) -> frozenset[str]:
    """Return the pixels that pages report to: the pixels of sources with origins."""
    return frozenset(pixel for source in sources if source.origins for pixel in source.pixels)
