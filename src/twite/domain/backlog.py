"""What is to be sent, counted by when it came."""

import msgspec

from twite.domain.delivery import PROMISED_WITHIN
from twite.domain.times import HOUR


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The pending deliveries of a pixel that were received within one hour.

    `hour` is in whole hours since the epoch; `oldest` is a moment in milliseconds.
    """

    pixel: str
    hour: int
    deliveries: int
    oldest: int

    @property
    def deadline(self) -> int:
        """When the first of them should be at X, in milliseconds."""
        return self.oldest + PROMISED_WITHIN

    @property
    def last_deadline(self) -> int:
        """When the last of them should be at X at the latest, in milliseconds."""
        return (self.hour + 1) * HOUR + PROMISED_WITHIN
