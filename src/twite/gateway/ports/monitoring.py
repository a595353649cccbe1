"""What forecasts and alerts need of the outside: ports, as in `ports`.

Outlook and Alarms are views of the store; Disk is the machine's.
"""

import msgspec


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
