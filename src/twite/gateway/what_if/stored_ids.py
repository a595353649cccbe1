"""Ids of stored conversions that had none of their own.

Such an id is derived from the event, and from what a retry repeats: the content, or an idempotency
key or a place in a page, which are not stored. Under a new event, the id would be another, but
equal and different ids stay equal and different, so the stored id stands in for it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.formats.native.conversion import ReadConversion, tell_repeats_apart
from twite.formats.parsed_request import Native
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.verdict import IntakeOutcome, IntakeVerdict, NotStored, unknown

_NOTHING: Final = Native()


class StoredIds:
    """Finds the ids of conversions without one, in the order of receipt."""

    def __init__(self, *, current_settings: IntakeSettings, salt: bytes) -> None:
        self._current_settings, self._salt = current_settings, salt
        # Ids that are derived from the content, and the ids that were stored for them.
        self._ids: dict[str, str] = {}

    def of(
        self,
        request: PastRequest,
        natives: Sequence[Native],
        results: Sequence[ReadConversion | None],
        past: Sequence[PastConversion | None],
    ) -> Mapping[int, ReadConversion | IntakeVerdict]:
        """Return, by place, the results with their ids, or verdicts on repeats.

        `results` are conversions that would be accepted, or None.
        """
        read = [
            ReadConversion(index=place, pixel="", native=_NOTHING, conversion=None)
            if read is None
            else read
            for place, read in enumerate(results)
        ]
        tell_repeats_apart(read, natives, salt=self._salt)
        found: dict[int, ReadConversion | IntakeVerdict] = {}
        for place, native in enumerate(natives):
            conversion = read[place].conversion
            if id_of(native) or conversion is None:
                continue
            derived, past_conversion = conversion.conversion_id, past[place]
            if past_conversion is not None:
                identity = self._ids[derived] = past_conversion.conversion_id
            elif derived in self._ids or place in request.refused:
                identity = self._ids.get(derived, derived)
            else:
                # A repeat of a conversion with other content, by what is not stored. A denial is
                # recorded for a repeat, too.
                is_alike = self._is_mapped_alike(request, native, read[place])
                repeat = IntakeVerdict(outcome=IntakeOutcome.DUPLICATE)
                is_known = is_alike and read[place].suppressed is None
                found[place] = repeat if is_known else unknown(NotStored.ID)
                continue
            own = msgspec.structs.replace(conversion, conversion_id=identity)
            found[place] = msgspec.structs.replace(read[place], conversion=own)
        return found

    def _is_mapped_alike(self, request: PastRequest, native: Native, read: ReadConversion) -> bool:
        """Return whether the current settings map a conversion to the same pixel and event."""
        source = self._current_settings.source(request.source)
        pixel = native.pixel or ("" if source is None else source.pixel)
        destination = self._current_settings.destinations.get(pixel)
        if destination is None or pixel != read.pixel:
            return False
        name = (native.event or "").strip().lower()
        event = destination.events.get(native.event or "") or destination.events.get(name)
        return event == read.event


def id_of(native: Native) -> str:
    """Return the conversion id that the sender stated, or ""."""
    return "" if native.conversion_id is None else str(native.conversion_id).strip()
