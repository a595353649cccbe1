"""Backlog: pending deliveries counted by deadline, and the forecast of when they are sent."""

import msgspec

from twite.domain.delivery import PROMISED_WITHIN
from twite.domain.times import HOUR


class BacklogHour(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel's pending deliveries whose `delivery.rank` falls within one hour.

    `hour` is hours since the epoch; `first` is the first rank, `oldest` the earliest receipt (ms).
    """

    pixel: str
    hour: int
    deliveries: int
    first: int
    oldest: int

    @property
    def deadline(self) -> int:
        """The earliest deadline of these deliveries, in milliseconds."""
        return self.first + PROMISED_WITHIN

    @property
    def last_deadline(self) -> int:
        """The latest deadline, in milliseconds."""
        return (self.hour + 1) * HOUR + PROMISED_WITHIN


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The forecast of one pixel's backlog.

    `rate` is conversions per hour. `drained_at` (ms) is None if nothing was delivered recently:
    then the other fields assume sending at the rate limit. `late` conversions have missed their
    deadline; `misses` also includes those that will miss it. `next_deadline` (ms) is the first one
    not yet missed.
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
        """Whether conversions are pending but none were delivered recently."""
        return self.pending > 0 and self.drained_at is None
