"""Rows of the deduplication report: which conversions arrived by which path."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twite.domain.conversion import Conversion
from twite.domain.destination import Destination, Source
from twite.domain.stats.deduplication import DedupPath, DedupRow, marks
from twite.domain.submission import Endpoint
from twite.formats.beacon.shape import PixelCall
from twite.formats.native.conversion import MAX_ID, ReadConversion

_GIVEN: Final[Mapping[PixelCall, DedupPath]] = {
    PixelCall.LOADED: DedupPath.PIXEL,
    # The visitor left the page before the page reported whether X's script had loaded. Usually it
    # had.
    PixelCall.CALLED: DedupPath.PIXEL,
    PixelCall.BLOCKED: DedupPath.BLOCKED,
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DedupRowBuilder:
    """Creates dedup_rows for the `watched` pixels, because only these get reports from pages."""

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
    ) -> tuple[DedupRow, ...]:
        """Return the dedup_rows of a request.

        For a beacon, `pixel_calls` has an item for each of `results`. Suppressed and held
        conversions count only if X's pixel has them.
        """
        seen: list[DedupRow] = []
        way = DedupPath.PAGE if endpoint is Endpoint.BEACON else DedupPath.SERVER
        for result in results:
            if result.pixel not in self.pixels:
                continue
            conversion = result.conversion
            sent = conversion is not None and result.suppressed is None and result.held is None
            if conversion is not None and sent:
                seen.append(self._dedup_row(conversion, way, at=now))
            given = (
                _GIVEN.get(pixel_calls[result.index]) if result.index < len(pixel_calls) else None
            )
            if given is not None:
                seen += self._pixel_call(result, given, now=now)
        return tuple(seen)

    def of_server(self, conversion: Conversion, *, now: int) -> tuple[DedupRow, ...]:
        """Return the row of a conversion that came from a server and is sent."""
        if conversion.pixel not in self.pixels:
            return ()
        return (self._dedup_row(conversion, DedupPath.SERVER, at=now),)

    def of_x(self, conversions: Iterable[Conversion], *, now: int) -> tuple[DedupRow, ...]:
        return tuple(
            self._dedup_row(conversion, DedupPath.SERVER, at=now)
            for conversion in conversions
            if conversion.pixel in self.pixels
        )

    def _dedup_row(self, conversion: Conversion, path: DedupPath, *, at: int) -> DedupRow:
        email, phone, click = marks(conversion, salt=self.salt)
        return DedupRow(
            pixel=conversion.pixel,
            event=conversion.event,
            conversion_id=conversion.conversion_id,
            path=path,
            at=at,
            email_mark=email,
            phone_mark=phone,
            click_mark=click,
        )

    def _pixel_call(self, read: ReadConversion, path: DedupPath, *, now: int) -> list[DedupRow]:
        """Return the row by X's pixel, with the page's time unless it is in the future."""
        conversion = read.conversion
        if conversion is not None:
            return [self._dedup_row(conversion, path, at=min(conversion.time, now))]
        # The gateway rejected it, for example because it had no identifier: only X's pixel has it.
        given = read.native
        event = self.destinations[read.pixel].events.get((given.event or "").strip().lower())
        identity = "" if given.conversion_id is None else str(given.conversion_id).strip()
        if event is None or not 0 < len(identity) <= MAX_ID:
            return []
        return [DedupRow(pixel=read.pixel, event=event, conversion_id=identity, path=path, at=now)]


def watched(sources: Iterable[Source]) -> frozenset[str]:
    """Return the pixels that get reports from pages: those of sources with origins."""
    return frozenset(pixel for source in sources if source.origins for pixel in source.pixels)
