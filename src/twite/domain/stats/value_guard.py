"""Value guard: detect amounts far from an event's usual amounts.

Usual amounts are learned by event and currency: the median of the logarithms, and the median
distance from it. Both move in small steps, so that no single amount moves them far.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.conversion import DECIMALS

# So many amounts must be seen before one can be unusual.
LEAST_SEEN: Final = 20
# How far one amount moves the medians, as a share of the spread.
_STEP: Final = 0.05
# The smallest spread is 4 %, for events whose amounts are nearly equal.
_LEAST_SPREAD: Final = math.log10(1.04)
# An outlier is at least this many spreads, and a factor of ten, from the usual amount.
_SPREADS: Final = 8
_LEAST_DISTANCE: Final = 1.0
_LARGEST: Final = 300.0  # the largest exponent of a float, approximately
# An amount this close to a hundred times the usual one is probably in minor units.
_NEAR_SPREADS: Final = 3
_NEAR_LEAST: Final = math.log10(1.5)
# If the share of zeros is smaller, a zero is unusual.
_RARELY_ZERO: Final = 0.02
# If a currency's share of the event's amounts is smaller, the currency is unusual.
_RARELY_SEEN: Final = 0.02
_NEW_CURRENCY: Final = 5


class ValueGuard(StrEnum):
    """What to do with a conversion whose amount is unusual."""

    OFF = "off"  # no check, and nothing is learned
    FLAG = "flag"  # sent, and shown
    HOLD = "hold"  # held for a user


class UnusualAmount(StrEnum):
    ZERO = "zero"
    MINOR_UNITS = "minor_units"
    OUTLIER = "outlier"
    CURRENCY = "currency"


MEANING: Final[Mapping[UnusualAmount, tuple[str, str]]] = {
    UnusualAmount.ZERO: (
        "zero, although the event usually has an amount",
        "look for an order that is sent before its total is known",
    ),
    UnusualAmount.MINOR_UNITS: (
        "far above the usual amount, and a whole number: probably minor units, such as cents",
        "divide by the currency's minor units before you send, for example 49.90 for 4990",
    ),
    UnusualAmount.OUTLIER: (
        "far from what the event is usually worth",
        "look at the order: a test, a bulk order, or a wrong decimal point",
    ),
    UnusualAmount.CURRENCY: (
        "in a different currency from the event's usual amounts",
        "if the shop now sells in this currency, do nothing: Twite will soon accept it",
    ),
}


class ValueFlag(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why one amount is unusual. `usual` is the event's usual amount."""

    kind: str
    value: str
    currency: str
    usual: str


class UsualAmount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The usual amounts of one event in one currency.

    `center` and `spread` are medians of decimal logarithms; `first` contains the first logarithms
    until there are enough of them; `zeros` of the `seen` amounts were zero.
    """

    pixel: str
    event: str
    currency: str
    seen: int = 0
    zeros: int = 0
    center: float = 0.0
    spread: float = 0.0
    first: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether enough amounts were seen to recognize an unusual one."""
        return self.seen - self.zeros >= LEAST_SEEN

    @property
    def usual(self) -> str:
        """The usual amount, with the currency's decimals."""
        return f"{10**self.center:.{DECIMALS.get(self.currency, 2)}f}" if self.known else ""


UsualAmounts = Mapping[str, UsualAmount]


def unusual_amount(usual_amounts: UsualAmounts, *, value: str, currency: str) -> ValueFlag | None:
    """Return what is unusual about an amount; `usual_amounts` holds the event's, by currency."""
    usual_amount = usual_amounts.get(currency)
    unusual: UnusualAmount | None = None
    usual = ""
    leading = max(usual_amounts.values(), key=lambda usual_amount: usual_amount.seen, default=None)
    if (
        leading is not None
        and leading.currency != currency
        and leading.known
        and (
            usual_amount is None
            or usual_amount.seen < max(_NEW_CURRENCY, leading.seen * _RARELY_SEEN)
        )
    ):
        unusual, usual = UnusualAmount.CURRENCY, f"{leading.usual} {leading.currency}"
    elif usual_amount is not None and usual_amount.known:
        unusual, usual = _kind(usual_amount, value), f"{usual_amount.usual} {currency}"
    if unusual is None:
        return None
    return ValueFlag(kind=unusual.value, value=value, currency=currency, usual=usual)


def reach_of(usual_amount: UsualAmount) -> tuple[float, float] | None:
    """Return the range in which no amount is unusual, if known; for an event with one currency."""
    if not usual_amount.known:
        return None
    least, most = usual_amount.center - _LEAST_DISTANCE, usual_amount.center + _LEAST_DISTANCE
    return 10.0**least, 10.0 ** min(most, _LARGEST)


def learnt(usual_amount: UsualAmount, value: str) -> UsualAmount:
    """Return the usual amounts, updated with one more amount."""
    amount = float(value)
    if amount <= 0:
        return msgspec.structs.replace(
            usual_amount, seen=usual_amount.seen + 1, zeros=usual_amount.zeros + 1
        )
    log = math.log10(amount)
    if usual_amount.seen - usual_amount.zeros < LEAST_SEEN:
        first = (*usual_amount.first, log)
        seen = usual_amount.seen + 1
        if len(first) < LEAST_SEEN:
            return msgspec.structs.replace(usual_amount, seen=seen, first=first)
        from statistics import median  # noqa: PLC0415  # takes milliseconds

        center = median(first)
        spread = max(_LEAST_SPREAD, median([abs(logged - center) for logged in first]))
        return msgspec.structs.replace(
            usual_amount, seen=seen, first=(), center=center, spread=spread
        )
    distance = log - usual_amount.center
    far = abs(distance)
    step = _STEP * usual_amount.spread
    moved = min(step, far)
    spread = usual_amount.spread + (step if far >= usual_amount.spread else -step)
    return UsualAmount(
        pixel=usual_amount.pixel,
        event=usual_amount.event,
        currency=usual_amount.currency,
        seen=usual_amount.seen + 1,
        zeros=usual_amount.zeros,
        center=usual_amount.center + (moved if distance >= 0 else -moved),
        spread=max(_LEAST_SPREAD, spread),
    )


def _kind(usual_amount: UsualAmount, value: str) -> UnusualAmount | None:
    amount = float(value)
    if not amount:
        return (
            UnusualAmount.ZERO if usual_amount.zeros <= usual_amount.seen * _RARELY_ZERO else None
        )
    distance = math.log10(amount) - usual_amount.center
    exponent = DECIMALS.get(usual_amount.currency, 2)
    near = max(_NEAR_LEAST, _NEAR_SPREADS * usual_amount.spread)
    # Minor units are whole numbers. If amounts vary a hundredfold, they cannot be recognized.
    if exponent and amount.is_integer() and abs(distance - exponent) <= near < exponent / 2:
        return UnusualAmount.MINOR_UNITS
    if abs(distance) > max(_LEAST_DISTANCE, _SPREADS * usual_amount.spread):
        return UnusualAmount.OUTLIER
    return None
