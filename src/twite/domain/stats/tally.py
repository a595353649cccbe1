"""Tallies: traffic counted by minute, hour and day; each span has its own sums.

Durations are counted in slots, four per doubling: a slot's middle is within 10 % of its values.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.times import DAY, HOUR, MINUTE

# Span → how long the sums of that span are kept.
QUARTER: Final = DAY // 4
KEPT: Final[Mapping[int, int]] = {
    MINUTE: 3 * HOUR,
    HOUR: 2 * DAY,
    QUARTER: 9 * DAY,
    DAY: 35 * DAY,
}
# How many days match keys and their flaws are kept.
KEPT_DAYS: Final = 92

_QUARTERS: Final = 4


class Counting(StrEnum):
    """What is counted, and reported to observers after the commit."""

    KIT = "kit"  # conversions by key set (a number)
    FLAW = "flaw"  # flawed match keys, by code
    FLAGGED = "flagged"  # unusual amounts that are sent, by kind
    HELD = "held"  # unusual amounts that are held, by kind


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    pixel: str
    counting: Counting
    word: str
    times: int


class FlowCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic of one span that begins at `at` (ms). `dead` counts refusals by X."""

    at: int
    received: int = 0
    duplicate: int = 0
    suppressed: int = 0
    rejected: int = 0
    delivered: int = 0
    dead: int = 0

    @property
    def conversions(self) -> int:
        """The received conversions without duplicates, as lists show them."""
        return self.received - self.duplicate


class DeliveryTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long deliveries took, from receipt on, in one span: their number by slot."""

    at: int
    slots: Mapping[int, int]


def slot_of(ms: int) -> int:
    if ms < _QUARTERS:
        return max(0, ms)
    power = ms.bit_length() - 3
    return _QUARTERS * power + (ms >> power)


def first_of(slot: int) -> int:
    """Return the shortest duration of a slot."""
    if slot < 2 * _QUARTERS:
        return slot
    power, rest = divmod(slot, _QUARTERS)
    return (_QUARTERS + rest) << (power - 1)


def quantile(slots: Mapping[int, int], part: float) -> int | None:
    """Return the middle of the slot that contains a quantile; None if there are no values."""
    left = part * sum(slots.values())
    for slot, many in sorted(slots.items()):
        left -= many
        if left <= 0 and many:
            return (first_of(slot) + first_of(slot + 1)) // 2
    return None


def together(waits: Iterable[DeliveryTimes]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for wait in waits:
        for slot, many in wait.slots.items():
            sums[slot] = sums.get(slot, 0) + many
    return sums
