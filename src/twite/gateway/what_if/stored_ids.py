"""Ids of stored conversions that had none of their own.

Such an id is derived from the event, and from what a retry repeats: the content, or an idempotency
key or a place in a page, which are not stored. Under a new event, the id would be another, but
equal and different ids stay equal and different, so the stored id stands in for it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.conversion import Conversion, dedup_key
from twite.domain.test_mode import is_test
from twite.formats.native.conversion import ReadConversion, tell_repeats_apart
from twite.formats.parsed_request import Native
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.candidate import Candidate, RequestCandidate
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.verdict import IntakeOutcome, IntakeVerdict, NotStored, unknown

_NOTHING: Final = Native()


class DerivedIds:
    """Derives the ids of conversions without one, and gives them those that were stored."""

    def __init__(
        self, *, new_settings: IntakeSettings, current_settings: IntakeSettings, salt: bytes
    ) -> None:
        self._new_settings, self._current_settings = new_settings, current_settings
        self._salt = salt

    def of(
        self,
        request: PastRequest,
        natives: Sequence[Native],
        results: Sequence[ReadConversion | None],
        past: Sequence[PastConversion | None],
    ) -> Mapping[int, tuple[str, ReadConversion, bool]]:
        """Return, by place, the derived ids, the results with their ids, and `is_mapped_alike`.

        `results` are conversions that would be accepted, or None.
        """
        read = [
            ReadConversion(index=place, pixel="", native=_NOTHING, conversion=None)
            if read is None
            else read
            for place, read in enumerate(results)
        ]
        tell_repeats_apart(read, natives, salt=self._salt)
        found: dict[int, tuple[str, ReadConversion, bool]] = {}
        for place, native in enumerate(natives):
            result, past_conversion = read[place], past[place]
            conversion = result.conversion
            if id_of(native) or conversion is None:
                continue
            derived_id = conversion.conversion_id
            is_mapped_alike = False
            if past_conversion is None:
                is_mapped_alike = self._is_mapped_alike(request, result)
            else:
                own = msgspec.structs.replace(
                    conversion, conversion_id=past_conversion.conversion_id
                )
                result = msgspec.structs.replace(result, conversion=own)
            found[place] = derived_id, result, is_mapped_alike
        return found

    def _is_mapped_alike(self, request: PastRequest, read: ReadConversion) -> bool:
        """Return whether both settings map the same conversions to a pixel and event.

        The first copy of a repeat is one of them, but which one is not stored. In a shorter dedup
        window, or if one of them moves to tests or out of them, it may be no repeat.
        """
        if self._new_settings.dedup_window < self._current_settings.dedup_window:
            return False
        found = []
        for settings in (self._new_settings, self._current_settings):
            source = settings.source(request.source)
            destination = settings.destinations.get(read.pixel)
            events = {} if destination is None else destination.events
            names = {name for name, event in events.items() if event == read.event}
            found.append((source and (source.pixel, source.events, source.test_until), names))
        return found[0] == found[1]


class StoredIds:
    """Finds the ids of conversions without one, in the order of receipt."""

    def __init__(self) -> None:
        # Ids that are derived from the content, and the ids that were stored for them.
        self._ids: dict[str, str] = {}
        # Pixel, event, and whether it would be a test, of ids that were not derived from the
        # content, in test mode: outside of it, the same key gave another id.
        self._of_tests: set[tuple[str, str, bool]] = set()

    def resolved(self, request: RequestCandidate, candidate: Candidate) -> Candidate:
        """Return a candidate with its id, or with the verdict on a repeat."""
        derived_id, conversion, accepted = (
            candidate.derived_id, candidate.conversion, candidate.accepted,
        )  # fmt: skip
        if derived_id is None or conversion is None or accepted is None:
            return candidate
        if candidate.past is not None:
            stored_id = candidate.past.conversion_id
            if derived_id != stored_id and self._is_of_other_mode(request, candidate, conversion):
                return _with_verdict(candidate, unknown(NotStored.ID))
            self._ids[derived_id] = stored_id
            return candidate
        if derived_id in self._ids or candidate.place in request.refused:
            identity = self._ids.get(derived_id, derived_id)
            key = dedup_key(accepted.pixel, accepted.event, identity)
            return msgspec.structs.replace(
                candidate,
                accepted=msgspec.structs.replace(accepted, conversion_id=identity, key=key),
            )
        # A repeat of a conversion with other content, by what is not stored. A denial is recorded
        # for a repeat, too.
        is_known = candidate.is_mapped_alike and accepted.suppressed is None
        repeat = IntakeVerdict(outcome=IntakeOutcome.DUPLICATE)
        return _with_verdict(candidate, repeat if is_known else unknown(NotStored.ID))

    def _is_of_other_mode(
        self, request: RequestCandidate, candidate: Candidate, conversion: Conversion
    ) -> bool:
        """Return whether an id may equal one that was given in test mode, and would not be now.

        An id that is derived from an idempotency key depends on the mode.
        """
        place = conversion.pixel, conversion.event, is_test(candidate.source)
        if is_test(request.source):
            self._of_tests.add(place)
            return False
        return place in self._of_tests


def _with_verdict(candidate: Candidate, verdict: IntakeVerdict) -> Candidate:
    past = candidate.past
    return msgspec.structs.replace(
        candidate,
        verdict=verdict,
        conversion=None,
        accepted=None,
        names=None if past is None else (past.pixel, past.event, past.conversion_id),
    )


def id_of(native: Native) -> str:
    """Return the conversion id that the sender stated, or ""."""
    return "" if native.conversion_id is None else str(native.conversion_id).strip()
