"""The unit of X's sale amounts, which X does not document, and a guard against a wrong one."""

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.results.figures import EventFigure
from twite.domain.stats.value_guard import UsualAmount

MICRO: Final = 1_000_000
# Powers of ten by which a wrong unit differs: hundredths, millionths, and one for the other.
_FAULTS: Final = (2, 4, 6)
# How far, in powers of ten, the average of X's amounts may be from the usual amount of the shop.
_NEAR: Final = 0.6
# The fewest attributed conversions with amounts that show a unit.
_LEAST: Final = 5


class SaleAmountUnit(StrEnum):
    MICRO = "micro"  # millionths of the currency, as X's other amounts
    MINOR = "minor"  # hundredths
    MONEY = "money"


_MICRO_OF: Final = {
    SaleAmountUnit.MICRO: 1,
    SaleAmountUnit.MINOR: MICRO // 100,
    SaleAmountUnit.MONEY: MICRO,
}


class UnitFault(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts that are too high by `factor` (above 1), or too low by its inverse (below 1)."""

    event_type: str
    factor: float

    @property
    def words(self) -> str:
        times = round(self.factor) if self.factor > 1 else round(1 / self.factor)
        return f"{times:,} times too {'high' if self.factor > 1 else 'low'}"


def in_micro(amount: float | None, unit: SaleAmountUnit) -> int | None:
    """Convert X's amount to millionths of the currency."""
    if amount is None:
        return None
    return round(amount * _MICRO_OF[unit])


def unit_fault(
    event_type: str,
    figure: EventFigure,
    usual_amounts: Iterable[UsualAmount],
    unit: SaleAmountUnit,
) -> UnitFault | None:
    """Compare the average attributed amount with the usual ones of the same event type.

    Returns None if they have the same unit, or if too little is known.
    """
    known = [amount for amount in usual_amounts if amount.known]
    sale = in_micro(figure.sale_amount, unit)
    if not known or not sale or sale < 0 or (figure.count or 0) < _LEAST:
        return None
    average = math.log10(sale / MICRO / (figure.count or 1))
    usual = _weighted(known)
    for power in _FAULTS:
        for signed in (power, -power):
            if abs(average - usual - signed) <= _NEAR:
                return UnitFault(event_type=event_type, factor=float(10**signed))
    return None


def _weighted(usual_amounts: Sequence[UsualAmount]) -> float:
    seen = sum(amount.seen for amount in usual_amounts)
    return sum(amount.center * amount.seen for amount in usual_amounts) / seen
