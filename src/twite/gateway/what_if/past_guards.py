"""Value guards over past conversions, under other settings.

What an event's amounts usually were is not stored for the past. As long as the same amounts would
have been learned, what was flagged then is what would be flagged. Otherwise the guards learn again,
from the beginning of what is read.
"""

from collections.abc import Callable
from copy import deepcopy

import msgspec

from twite.domain.conversion import Conversion
from twite.domain.stats.value_guard import ValueFlag, ValueGuard
from twite.domain.test_mode import is_test
from twite.gateway.ingest.entries import Look
from twite.gateway.ingest.value_guard import ValueGuards, reason_to_hold
from twite.gateway.ports.past_requests import PastConversion
from twite.gateway.what_if.intake_settings import IntakeSettings

_Flagged = tuple[ValueFlag | None, str | None]


class _Amount(msgspec.Struct):
    value: str | None = None
    price_currency: str | None = None


_AMOUNT: Callable[[bytes], _Amount] = msgspec.json.Decoder(_Amount).decode


class PastGuards:
    """Checks amounts, and learns them, in the order of receipt."""

    def __init__(self, *, new_settings: IntakeSettings, current_settings: IntakeSettings) -> None:
        self._guards, self._before = new_settings.guards(), current_settings.guards()
        # What the guards would know if conversions of unknown outcome were accepted, too.
        self._guards_at_most: ValueGuards | None = None
        # If nothing would be held, it does not matter which amounts are usual: nothing is learned.
        guards = [
            *(source.value_guard for source in new_settings.sources.values()),
            *(destination.value_guard for destination in new_settings.destinations.values()),
        ]
        self.may_hold = ValueGuard.HOLD in guards
        # The events (pixel, event) for which other amounts would have been learned.
        self._changed: set[tuple[str, str]] = set()

    def look(self, source: str, past: PastConversion | None) -> Look:
        """Return the function that checks a conversion, which intake stored like this.

        It does not always tell what is unusual if the guard does not hold such conversions.
        """
        if not self.may_hold:
            return _passed
        again = self._guards.look(source)
        is_unchecked = past is None or past.suppressed is not None or not past.body
        if past is None or is_unchecked or is_test(source):
            return again

        def look(conversion: Conversion) -> _Flagged:
            place = conversion.pixel, conversion.event
            if (
                place in self._changed
                or place != (past.pixel, past.event)
                or self._before.guard(source, conversion.pixel) is ValueGuard.OFF
            ):
                return again(conversion)
            guard = self._guards.guard(source, conversion.pixel)
            if guard is ValueGuard.OFF:
                return None, None
            return past.flag, reason_to_hold(past.flag, guard)

        return look

    def is_in_doubt(self, source: str, conversion: Conversion) -> bool:
        """Return whether it depends on conversions of unknown outcome if a conversion is held."""
        place = conversion.pixel, conversion.event
        if self._guards_at_most is None or place not in self._changed:
            return False
        _, held = self._guards.look(source)(conversion)
        _, held_at_guards_at_most = self._guards_at_most.look(source)(conversion)
        return held != held_at_guards_at_most

    def learn_unknown(self, source: str, conversion: Conversion) -> None:
        """Note the amount of a conversion of which it is unknown whether it would be accepted."""
        if self._guards_at_most is None:
            self._guards_at_most = deepcopy(self._guards)
        self._guards_at_most.learn(source, [conversion])
        self._changed.add((conversion.pixel, conversion.event))

    def learn(
        self,
        source: str,
        conversion: Conversion | None,
        *,
        past: PastConversion | None,
        is_same: bool,
    ) -> None:
        """Learn the amount of a conversion that would be accepted, None if it would not be.

        `past` is the conversion that was accepted, None if it was not; `is_same` is whether both
        have the same body.
        """
        if conversion is not None:
            self._guards.learn(source, [conversion])
            if self._guards_at_most is not None:
                self._guards_at_most.learn(source, [conversion])
        if is_same and conversion is not None and past is not None:
            is_off = ValueGuard.OFF
            before = self._before.guard(source, conversion.pixel) is is_off
            if before is not (self._guards.guard(source, conversion.pixel) is is_off):
                self._changed.add((conversion.pixel, conversion.event))
            return
        places = {(each.pixel, each.event) for each in (conversion, past) if each is not None}
        if places <= self._changed:
            return
        new = None if conversion is None else _learned(conversion)
        old = None if past is None else _learned_then(past)
        if new != old:
            self._changed.update(place[:2] for place in (new, old) if place is not None)


def _passed(conversion: Conversion) -> _Flagged:
    del conversion
    return None, None


def _learned(conversion: Conversion) -> tuple[str, str, str, str] | None:
    if conversion.value is None or conversion.currency is None:
        return None
    return conversion.pixel, conversion.event, conversion.value, conversion.currency


def _learned_then(past: PastConversion) -> tuple[str, str, str, str] | None:
    try:
        amount = _AMOUNT(past.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if amount.value is None or amount.price_currency is None:
        return None
    if is_test(past.pixel):
        return None
    return past.pixel, past.event, amount.value, amount.price_currency
