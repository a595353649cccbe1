"""Events ignored in the last days, for a command."""

from typing import Final

from twite.domain.ignored import IgnoredTally
from twite.domain.times import DAY
from twite.gateway.ports.queries import IgnoredQuery, Queries
from twite.machine import SystemClock

_DAYS: Final = 7


async def read_ignored(records: Queries) -> list[IgnoredTally]:
    """Return the ignored events of the last seven days, today included."""
    return list(await records.answer(IgnoredQuery(since=SystemClock().now() // DAY - _DAYS + 1)))
