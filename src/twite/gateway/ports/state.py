"""State port: small records that outlive a restart."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from twite.domain.stats.value_guard import UsualAmount


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel that is not sent to, or with `event` one event of it alone.

    `since` is in milliseconds; `reason` is for a person.
    """

    pixel: str
    since: int
    reason: str
    event: str = ""


class RateLimitWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel whose limit is spent until a moment (milliseconds)."""

    pixel: str
    until: int
    reason: str


class ClockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record of time, in milliseconds.

    `latest` is the latest moment (0: none), `last` that which was written last: a clock that was
    ahead for a while leaves later ones. `ahead` is how far X's clock was ahead.
    """

    latest: int
    last: int
    ahead: int | None


class UsualAmounts(Protocol):
    """Stores the usual amounts of events in the ledger."""

    async def norms(self) -> Sequence[UsualAmount]:
        """Return all usual amounts."""
        ...

    async def keep_norms(self, norms: Sequence[UsualAmount]) -> None:
        """Store some, replacing the earlier ones."""
        ...
