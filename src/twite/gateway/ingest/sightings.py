"""Note which conversion ids came by which way, for pixels that pages report to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from twite.domain.conversion import Conversion
from twite.domain.destination import Destination, Source
from twite.domain.stats.sightings import (
    DedupReport,
    PixelReport,
    Sighting,
    SightingPath,
    TwoIds,
    marks,
)
from twite.domain.submission import Endpoint
from twite.formats.beacon.shape import BeaconTwin
from twite.formats.native.conversion import MAX_ID, ReadConversion

_GIVEN: Final[Mapping[BeaconTwin, SightingPath]] = {
    BeaconTwin.LOADED: SightingPath.PIXEL,
    # The page was left before X's script was known to be there. It usually is.
    BeaconTwin.CALLED: SightingPath.PIXEL,
    BeaconTwin.BLOCKED: SightingPath.BLOCKED,
}


class Sightings(Protocol):
    """What the ledger kept of the sightings of submissions, for `domain.sighting.KEPT_FOR`."""

    async def pairs(self, *, since: int, limit: int) -> Sequence[TwoIds]:
        """Return what `two_ids` counts, the latest first, each with one of its others."""
        ...

    async def overlap(self, *, since: int) -> Sequence[DedupReport]:
        """Return what went which way, from a moment on (milliseconds, a midnight of UTC).

        In the order of pixel, event and day; a day on which nothing was seen is not there.
        """
        ...

    async def twins(self, *, pixel: str, event: str, conversion_id: str) -> Sequence[PixelReport]:
        """Return when pages told X's pixel of a conversion id, the first MOST_TOLD in order."""
        ...


class Watch:
    """Makes sightings. `pixels` are those that are `watched`; others have no twins."""

    def __init__(
        self,
        *,
        pixels: frozenset[str] = frozenset(),
        destinations: Mapping[str, Destination],
        salt: bytes,
    ) -> None:
        self._pixels = pixels
        self._destinations = destinations
        self._salt = salt

    def of(
        self,
        results: Sequence[ReadConversion],
        *,
        door: Endpoint,
        now: int,
        twins: Sequence[BeaconTwin] = (),
    ) -> tuple[Sighting, ...]:
        """Return what a submission shows. `twins` are of a beacon, one for each of `results`.

        What is not sent on purpose has not come to the gateway; its twin was given to the pixel all
        the same.
        """
        seen: list[Sighting] = []
        way = SightingPath.PAGE if door is Endpoint.BEACON else SightingPath.SERVER
        for result in results:
            if result.pixel not in self._pixels:
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
        """Return what a request in X's own format shows."""
        return tuple(
            self._sighting(conversion, SightingPath.SERVER, at=now)
            for conversion in conversions
            if conversion.pixel in self._pixels
        )

    def _sighting(self, conversion: Conversion, way: SightingPath, *, at: int) -> Sighting:
        return Sighting(
            pixel=conversion.pixel,
            event=conversion.event,
            conversion_id=conversion.conversion_id,
            way=way,
            at=at,
            **marks(conversion, salt=self._salt),
        )

    def _twin(self, result: ReadConversion, way: SightingPath, *, now: int) -> list[Sighting]:
        """Return the sighting at the pixel: when the page says, by our clock."""
        conversion = result.conversion
        if conversion is not None:
            return [self._sighting(conversion, way, at=min(conversion.time, now))]
        # It was refused, for want of an identifier say: X's pixel has it alone.
        given = result.scrubbed
        event = self._destinations[result.pixel].events.get((given.event or "").strip().lower())
        identity = "" if given.conversion_id is None else str(given.conversion_id).strip()
        if event is None or not 0 < len(identity) <= MAX_ID:
            return []
        return [Sighting(pixel=result.pixel, event=event, conversion_id=identity, way=way, at=now)]


def watched(sources: Iterable[Source]) -> frozenset[str]:
    """Return the pixels that pages report to: those of sources that have origins."""
    return frozenset(pixel for source in sources if source.origins for pixel in source.pixels)
