"""Ids of stored conversions that had none of their own.

Such an id is derived from the event, and from what a retry repeats: the content, or an idempotency
key or a place in a page, which are not stored. Under a new event, the id would be another, but
equal and different ids stay equal and different, so the stored id stands in for it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.test_mode import is_test
from twite.formats.native.conversion import ReadConversion, tell_repeats_apart
from twite.formats.parsed_request import Native
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.verdict import IntakeOutcome, IntakeVerdict, NotStored, unknown

_NOTHING: Final = Native()


class StoredIds:
    """Finds the ids of conversions without one, in the order of receipt."""

    def __init__(
        self, *, new_settings: IntakeSettings, current_settings: IntakeSettings, salt: bytes
    ) -> None:
        self._new_settings, self._current_settings = new_settings, current_settings
        self._salt = salt
        # Ids that are derived from the content, and the ids that were stored for them.
        self._ids: dict[str, str] = {}
        # Pixel, event, and whether it would be a test, of ids that were not derived from the
        # content, in test mode: outside of it, the same key gave another id.
        self._of_tests: set[tuple[str, str, bool]] = set()

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
            if past_conversion is not None and self._is_of_other_mode(
                request, read[place], past_conversion.conversion_id
            ):
                found[place] = unknown(NotStored.ID)
                continue
            if past_conversion is not None:
                identity = self._ids[derived] = past_conversion.conversion_id
            elif derived in self._ids or place in request.refused:
                identity = self._ids.get(derived, derived)
            else:
                # A repeat of a conversion with other content, by what is not stored. A denial is
                # recorded for a repeat, too.
                is_alike = self._is_mapped_alike(request, read[place])
                repeat = IntakeVerdict(outcome=IntakeOutcome.DUPLICATE)
                is_known = is_alike and read[place].suppressed is None
                found[place] = repeat if is_known else unknown(NotStored.ID)
                continue
            own = msgspec.structs.replace(conversion, conversion_id=identity)
            found[place] = msgspec.structs.replace(read[place], conversion=own)
        return found

    def _is_of_other_mode(self, request: PastRequest, read: ReadConversion, stored_id: str) -> bool:
        """Return whether an id may equal one that was given in test mode, and would not be now.

        An id that is derived from an idempotency key depends on the mode.
        """
        source, conversion = self._new_settings.source(request.source), read.conversion
        if source is None or conversion is None or conversion.conversion_id == stored_id:
            return False
        mode = is_test(source.at(request.received_at).name)
        place = conversion.pixel, conversion.event, mode
        if is_test(request.source):
            self._of_tests.add(place)
            return False
        return place in self._of_tests

    def _is_mapped_alike(self, request: PastRequest, read: ReadConversion) -> bool:
        """Return whether both settings map the same conversions to a pixel and event.

        The first copy of a repeat is one of them, but which one is not stored.
        """
        found = []
        for settings in (self._new_settings, self._current_settings):
            source, destination = settings.source(request.source), settings.destinations[read.pixel]
            events = destination.events
            names = {name for name, event in events.items() if event == read.event}
            found.append((source and (source.pixel, source.events), names))
        return found[0] == found[1]


def id_of(native: Native) -> str:
    """Return the conversion id that the sender stated, or ""."""
    return "" if native.conversion_id is None else str(native.conversion_id).strip()
