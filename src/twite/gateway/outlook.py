"""What forecasts and alerts need of the outside: ports, as in `ports`.

Outlook and Alarms are views of the store; Disk is the machine's.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from twite.domain.alert import Alert
from twite.domain.backlog import Waiting
from twite.domain.traffic import Hour


class Outlook(Protocol):
    """What a forecast is made of. Reading never delays a commit."""

    async def backlog(self) -> Sequence[Waiting]:
        """Return what is pending, by pixel and hour of rank, in one consistent view."""
        ...

    async def delivered(self, *, since: int) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Return, by pixel, (moment, conversions) of the requests that X took since a moment.

        Those of one minute may be told as one, at the minute's end.
        """
        ...


class Alarms(Protocol):
    """What alerts must remember across a restart."""

    async def alerts(self) -> Sequence[Alert]:
        """Return those that are open, and those that are over and not told yet; oldest first."""
        ...

    async def keep(self, alerts: Sequence[Alert], *, gone: Sequence[str] = ()) -> None:
        """Write alerts down, each in the place of what was kept under its id; forget those ids."""
        ...

    async def hours(self) -> Sequence[Hour]:
        """Return what is known of when something came from each source, in order of the hours."""
        ...

    async def note(self, hours: Sequence[Hour]) -> None:
        """Write hours down, each in the place of what was known of it.

        What lies more than KEPT_HOURS before a source's last is forgotten.
        """
        ...


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """Room, in bytes: what is free where the store lies, and what its files take, by name."""

    free: int
    files: Mapping[str, int]


class Disk(Protocol):
    """The disk below the store."""

    async def space(self) -> Space:
        """Measure it. Raises OSError."""
        ...
