"""Backlog: pending deliveries counted by deadline."""

import msgspec

from twite.domain.delivery import PROMISED_WITHIN
from twite.domain.times import HOUR


class BacklogHour(msgspec.Struct, frozen=True, kw_only=True):
    """The pending deliveries of a pixel whose rank (`delivery.rank`) is within one hour.

    `hour` is in whole hours since the epoch; `first` is the first rank among them, and `oldest`
    when the oldest was received, in milliseconds.
    """

    pixel: str
    hour: int
    deliveries: int
    first: int
    oldest: int

    @property
    def deadline(self) -> int:
        """When the first of them should be at X, in milliseconds."""
        return self.first + PROMISED_WITHIN

    @property
    def last_deadline(self) -> int:
        """When the last of them should be at X at the latest, in milliseconds."""
        return (self.hour + 1) * HOUR + PROMISED_WITHIN
