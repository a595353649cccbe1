"""Backlog: pending deliveries counted by deadline, and the forecast of when they are sent."""

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


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected of one pixel's backlog.

    `rate` is in conversions an hour. `drained_at` (ms) is None where nothing was delivered recently
    though something was pending. `late` have missed their deadline already; `misses` is how many
    will have when they are sent, those included. Where nothing is delivered, it is told for the
    case that sending goes on now at the rate of the limit. `next_deadline` (ms) is the first that
    is not yet missed.
    """

    pixel: str
    pending: int = 0
    oldest: int | None = None
    rate: int = 0
    drained_at: int | None = None
    late: int = 0
    misses: int = 0
    next_deadline: int | None = None

    @property
    def stalled(self) -> bool:
        """Whether something is pending and nothing is delivered."""
        return self.pending > 0 and self.drained_at is None
