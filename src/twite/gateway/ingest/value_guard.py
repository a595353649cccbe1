"""Value guard: learn the usual amounts of an event, and flag or hold unusual ones.

Decisions are made in memory, and never reject a conversion. Amounts are stored periodically.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from twite.domain.conversion import Conversion
from twite.domain.errors import LedgerUnavailable
from twite.domain.stats.value_guard import (
    MEANING,
    UnusualAmount,
    UsualAmount,
    ValueFlag,
    ValueGuard,
    learnt,
    reach_of,
    unusual_amount,
)
from twite.domain.test_mode import is_test
from twite.domain.times import SECOND
from twite.gateway.ingest.entries import Look
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import StateStore

KEEP_EVERY: Final = 30 * SECOND
# Clients of X's conversion route may name any event, so the number of remembered events is limited.
MOST_USUAL_AMOUNTS: Final = 10_000
# After WELL_KNOWN amounts of an event, Twite learns only one amount in OF_SO_MANY.
WELL_KNOWN: Final = 500
OF_SO_MANY: Final = 4
_NOTHING: Final = (None, None)
_UNKNOWN: Final = ("", 0.0, 0.0)


def _unchecked(conversion: Conversion) -> tuple[ValueFlag | None, str | None]:
    del conversion
    return _NOTHING


def guard_of(source_guard: ValueGuard | None, pixel_guard: ValueGuard | None) -> ValueGuard:
    """Return the guard that applies: the source's, else the pixel's, else the default."""
    return source_guard or pixel_guard or ValueGuard.FLAG


def reason_to_hold(flag: ValueFlag | None, guard: ValueGuard) -> str | None:
    """Return why a guard holds a conversion with this flag; None if it does not."""
    if flag is None or guard is not ValueGuard.HOLD:
        return None
    return f"value guard: {MEANING[UnusualAmount(flag.kind)][0]}"


class ValueGuards:
    """Checks amounts. A source's setting overrides its pixel's; the default is to flag."""

    def __init__(
        self,
        *,
        sources: Mapping[str, ValueGuard | None] | None = None,
        pixels: Mapping[str, ValueGuard] | None = None,
        usual_amounts: Iterable[UsualAmount] = (),
    ) -> None:
        self.use(sources=sources or {}, pixels=pixels or {})
        self._usual_amounts: dict[tuple[str, str], dict[str, UsualAmount]] = {}
        self._many = 0
        self._turn = 0
        self._changed: set[tuple[str, str, str]] = set()
        # For events with one currency: (currency, lower and upper bound of the usual amounts).
        self._usual: dict[tuple[str, str], tuple[str, float, float]] = {}
        for usual_amount in usual_amounts:
            self._usual_amounts.setdefault((usual_amount.pixel, usual_amount.event), {})[
                usual_amount.currency
            ] = usual_amount
            self._many += 1
        for own in self._usual_amounts.values():
            self._note(own)

    def use(
        self,
        *,
        sources: Mapping[str, ValueGuard | None],
        pixels: Mapping[str, ValueGuard],
    ) -> None:
        """Check with these settings from now on. The learned amounts stay."""
        self._sources, self._pixels = sources, pixels

    def look(self, source: str) -> Look:
        """Return the function that checks the conversions of a source, but no tests."""
        if is_test(source):
            return _unchecked
        by_source = self._sources.get(source)
        usual_amounts, pixels, quick = self._usual_amounts, self._pixels, self._usual

        def look(conversion: Conversion) -> tuple[ValueFlag | None, str | None]:
            if conversion.value is None or conversion.currency is None:
                return _NOTHING
            which = conversion.pixel, conversion.event
            currency, least, most = quick.get(which, _UNKNOWN)
            if currency == conversion.currency and least < float(conversion.value) < most:
                return _NOTHING
            own = usual_amounts.get(which)
            if own is None:
                return _NOTHING
            guard = guard_of(by_source, pixels.get(conversion.pixel))
            if guard is ValueGuard.OFF:
                return _NOTHING
            flag = unusual_amount(own, value=conversion.value, currency=conversion.currency)
            return flag, reason_to_hold(flag, guard)

        return look

    def guard(self, source: str, pixel: str) -> ValueGuard:
        """Return the guard of a source's conversions for a pixel."""
        return guard_of(self._sources.get(source), self._pixels.get(pixel))

    def learn(self, source: str, conversions: Iterable[Conversion | None]) -> None:
        """Learn from accepted conversions, but not from tests."""
        if is_test(source):
            return
        by_source = self._sources.get(source)
        learned: dict[tuple[str, str], dict[str, UsualAmount]] = {}
        for conversion in conversions:
            if conversion is None or conversion.value is None or conversion.currency is None:
                continue
            which = conversion.pixel, conversion.event
            own = self._usual_amounts.get(which, {})
            usual_amount = own.get(conversion.currency)
            if usual_amount is not None and usual_amount.seen > WELL_KNOWN:
                self._turn += 1
                if self._turn % OF_SO_MANY:
                    continue
            if guard_of(by_source, self._pixels.get(conversion.pixel)) is ValueGuard.OFF:
                continue
            if usual_amount is None:
                if self._many >= MOST_USUAL_AMOUNTS:
                    continue
                self._many += 1
                self._usual_amounts[which] = own
                usual_amount = UsualAmount(
                    pixel=conversion.pixel, event=conversion.event, currency=conversion.currency
                )
            own[conversion.currency] = learnt(usual_amount, conversion.value)
            learned[which] = own
            self._changed.add((conversion.pixel, conversion.event, conversion.currency))
        for own in learned.values():
            self._note(own)

    def _note(self, own: Mapping[str, UsualAmount]) -> None:
        """Cache the usual range of an event, unless the event has several currencies."""
        (usual_amount, *others) = own.values()
        which = usual_amount.pixel, usual_amount.event
        self._usual.pop(which, None)
        reach = reach_of(usual_amount)
        if reach is not None and not others:
            self._usual[which] = usual_amount.currency, *reach

    async def keep(self, state: StateStore) -> None:
        """Store changed amounts. If that fails, the next call stores them."""
        changed, self._changed = self._changed, set()
        try:
            await state.put(
                [
                    self._usual_amounts[pixel, event][currency]
                    for pixel, event, currency in sorted(changed)
                ]
            )
        except LedgerUnavailable:
            self._changed |= changed
            raise

    async def run(self, state: StateStore, clock: Clock) -> None:
        """Store changed amounts periodically until cancelled."""
        while True:
            await clock.sleep(KEEP_EVERY)
            if self._changed:
                with suppress(LedgerUnavailable):
                    await self.keep(state)
