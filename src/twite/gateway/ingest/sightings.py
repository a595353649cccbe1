"""Sightings: which conversions arrived by which path, for the deduplication report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twite.domain.conversion import Conversion
from twite.domain.destination import Destination, Source
from twite.domain.stats.sightings import Sighting, SightingPath, marks
from twite.domain.submission import Endpoint
from twite.formats.beacon.shape import PixelCall
from twite.formats.native.conversion import MAX_ID, ReadConversion

_GIVEN: Final[Mapping[PixelCall, SightingPath]] = {
    PixelCall.LOADED: SightingPath.PIXEL,
    # The visitor left the page before the page reported whether X's script had loaded. Usually it
    # had.
    PixelCall.CALLED: SightingPath.PIXEL,
    PixelCall.BLOCKED: SightingPath.BLOCKED,
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SightingBuilder:
    """Creates sightings for the `watched` pixels, because only these get reports from pages."""

    pixels: frozenset[str] = frozenset()
    destinations: Mapping[str, Destination]
    salt: bytes

    def of(
        self,
        results: Sequence[ReadConversion],
        *,
        endpoint: Endpoint,
        now: int,
        pixel_calls: Sequence[PixelCall] = (),
    ) -> tuple[Sighting, ...]:
        """Return the sightings of a request.

        For a beacon, `pixel_calls` has an item for each of `results`. Suppressed and held
        conversions count only if X's pixel has them.
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
            given = (
                _GIVEN.get(pixel_calls[result.index]) if result.index < len(pixel_calls) else None
            )
            if given is not None:
                seen += self._pixel_call(result, given, now=now)
        return tuple(seen)

    def of_server(self, conversion: Conversion, *, now: int) -> tuple[Sighting, ...]:
        """Return the sighting of a conversion that came from a server and is sent."""
        if conversion.pixel not in self.pixels:
            return ()
        return (self._sighting(conversion, SightingPath.SERVER, at=now),)

    def of_x(self, conversions: Iterable[Conversion], *, now: int) -> tuple[Sighting, ...]:
        return tuple(
            self._sighting(conversion, SightingPath.SERVER, at=now)
            for conversion in conversions
            if conversion.pixel in self.pixels
        )

    def _sighting(self, conversion: Conversion, way: SightingPath, *, at: int) -> Sighting:
        email, phone, click = marks(conversion, salt=self.salt)
        return Sighting(
            pixel=conversion.pixel,
            event=conversion.event,
            conversion_id=conversion.conversion_id,
            way=way,
            at=at,
            email_mark=email,
            phone_mark=phone,
            click_mark=click,
        )

    def _pixel_call(self, result: ReadConversion, way: SightingPath, *, now: int) -> list[Sighting]:
        """Return the sighting by X's pixel, with the page's time unless it is in the future."""
        conversion = result.conversion
        if conversion is not None:
            return [self._sighting(conversion, way, at=min(conversion.time, now))]
        # The gateway rejected it, for example because it had no identifier: only X's pixel has it.
        given = result.scrubbed
        event = self.destinations[result.pixel].events.get((given.event or "").strip().lower())
        identity = "" if given.conversion_id is None else str(given.conversion_id).strip()
        if event is None or not 0 < len(identity) <= MAX_ID:
            return []
        return [Sighting(pixel=result.pixel, event=event, conversion_id=identity, way=way, at=now)]


def watched(sources: Iterable[Source]) -> frozenset[str]:
    """Return the pixels that get reports from pages: those of sources with origins."""
    return frozenset(pixel for source in sources if source.origins for pixel in source.pixels)
