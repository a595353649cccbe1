"""What was ignored of late, for a command to show."""

from typing import Final

from twite.domain.ignored import IgnoredTally
from twite.domain.times import DAY
from twite.gateway.ports.store import Records
from twite.machine import SystemClock

_DAYS: Final = 7


async def read_ignored(records: Records) -> list[IgnoredTally]:
    """Return what was ignored in the last seven days, today included."""
    return list(await records.ignored(since=SystemClock().now() // DAY - _DAYS + 1))
