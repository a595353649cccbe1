"""Tallies: traffic counted as it happens, by minute, hour and day.

A month adds days up, not hours: each length that is shown has its own sums.

How long something took is counted in slots: four to a doubling, so that a slot's middle is within
10 % of all that lies in it.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.times import DAY, HOUR, MINUTE

# The spans that are counted by, and how long each is kept.
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
    """A counted kind that is reported to observers after the commit."""

    KIT = "kit"  # conversions that carried a kit of identifiers; the word is its number
    FLAW = "flaw"  # match keys that were spoilt, by code
    FLAGGED = "flagged"  # remarkable amounts that go out all the same, by kind
    HELD = "held"  # remarkable amounts that wait for a person, by kind


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How often something was counted with a commit."""

    source: str
    pixel: str
    what: Counting
    word: str
    times: int


class FlowCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What came and what went in one span of time; `at` is its beginning (ms).

    `dead` counts refusals by X; held deliveries are not counted here.
    """

    at: int
    received: int = 0
    duplicate: int = 0
    suppressed: int = 0
    rejected: int = 0
    delivered: int = 0
    dead: int = 0


class DeliveryTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries of one span took how long from our receipt until X had them, by slot."""

    at: int
    slots: Mapping[int, int]


def slot_of(ms: int) -> int:
    """Return the slot of a length of time."""
    if ms < _QUARTERS:
        return max(0, ms)
    power = ms.bit_length() - 3
    return _QUARTERS * power + (ms >> power)


def first_of(slot: int) -> int:
    """Return the shortest time that a slot holds."""
    if slot < 2 * _QUARTERS:
        return slot
    power, rest = divmod(slot, _QUARTERS)
    return (_QUARTERS + rest) << (power - 1)


def quantile(slots: Mapping[int, int], part: float) -> int | None:
    """Return how long at most so large a part took: the middle of its slot; None for nothing."""
    whole = sum(slots.values())
    left = part * whole
    for slot, many in sorted(slots.items()):
        left -= many
        if left <= 0 and many:
            return (first_of(slot) + first_of(slot + 1)) // 2
    return None


def together(waits: Iterable[DeliveryTimes]) -> dict[int, int]:
    """Add the slots of several spans up."""
    sums: dict[int, int] = {}
    for wait in waits:
        for slot, many in wait.slots.items():
            sums[slot] = sums.get(slot, 0) + many
    return sums
