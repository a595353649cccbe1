"""Sweeper: expire leases, make due retries pending, and hold deliveries that waited too long."""

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from twite.domain.delivery import AMBIGUITY_WINDOW, LAST_CEILING, PATIENCE, Trigger
from twite.domain.errors import TransientError, TwiteError
from twite.domain.history import ConversionCounts
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import NOTICEABLE, MonotonicClock
from twite.gateway.ports.events import Misdated, Moved, Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import wait_for_event
from twite.gateway.ports.outbox import DeliveryStore, SweepRequest
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import ClockRecord

LONGEST_REST: Final = 5 * SECOND
SHORTEST_REST: Final = SECOND // 10
_SLACK: Final = 10 * SECOND


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Sweeper:
    """Applies every transition of a delivery that depends on time alone.

    `holding` is the live set of leases in flight in this process.
    """

    outbox: DeliveryStore
    clock: MonotonicClock
    observer: Observer
    wake_all: Callable[[], None]
    lease: int
    holding: AbstractSet[int]
    cautious: frozenset[str]
    # Why the store could not be written to at the last sweep, or None.
    problem: str | None = field(init=False, default=None)
    _reported_offset: int = field(init=False, default=0)
    _stored: int | None = field(init=False, default=None)

    async def once(self) -> int:
        """Sweep once; return the milliseconds until the next sweep is needed."""
        now = self.clock.now()
        swept = await self.outbox.sweep(
            SweepRequest(
                now=now,
                ambiguous_before=now - AMBIGUITY_WINDOW if self.clock.may_hold_ambiguous else 0,
                waiting_before=now - PATIENCE if self.clock.is_trusted else 0,
                furthest=now + max(LAST_CEILING, self.lease) + _SLACK,
                holding=frozenset(self.holding),
                cautious=self.cautious,
            )
        )
        self._report_offset()
        ahead = self.clock.ahead
        if ahead is not None and (self._stored is None or abs(ahead - self._stored) >= NOTICEABLE):
            await self.outbox.put([ClockRecord(ahead=ahead)])
            self._stored = ahead
        for trigger, many in ((Trigger.EXPIRED, swept.expired), (Trigger.HELD, swept.held)):
            if many:
                self.observer.see(Moved(pixel="", trigger=trigger, deliveries=many))
        if swept.expired or swept.promoted:
            self.wake_all()
        if swept.next_due is None:
            return LONGEST_REST
        return min(LONGEST_REST, max(SHORTEST_REST, swept.next_due - now))

    def _report_offset(self) -> None:
        """Report how far the machine's clock is from X's, whenever this changes."""
        offset = self.clock.offset
        if abs(offset - self._reported_offset) >= NOTICEABLE:
            self._reported_offset = offset
            self.observer.see(Misdated(offset=offset))

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweep repeatedly until stopped."""
        while not stopping.is_set():
            try:
                rest = await self.once()
                self.problem = None
            except Exception as error:  # noqa: BLE001  without the sweeper, no retry is sent
                if isinstance(error, TransientError):
                    self.problem = error.reason
                self.observer.see(ProblemSeen.of(ProblemPlace.SWEEP, error))
                rest = LONGEST_REST
            await wait_for_event(stopping, self.clock, most=rest)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class BalanceCheck:
    """Reports a balance that is not zero, which is always a bug in Twite."""

    records: Queries
    observer: Observer

    async def once(self) -> Sequence[ConversionCounts] | None:
        """Check each account separately, because two errors may cancel out in the total.

        Returns the accounts, or None if the store cannot be read: the failure is reported, not
        raised.
        """
        try:
            accounts = await self.records.balance()
        except TwiteError as error:
            self.observer.see(ProblemSeen(where=ProblemPlace.AUDIT, reason=str(error)))
            return None
        for account in accounts:
            if account.balance:
                whose = f"source {account.source} and pixel {account.pixel or 'none'}"
                reason = f"{account.balance} conversions of {whose} are unaccounted for"
                self.observer.see(ProblemSeen(where=ProblemPlace.BALANCE, reason=reason))
        return accounts
