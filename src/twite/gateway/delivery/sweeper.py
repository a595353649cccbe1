"""Sweeper: expire leases, make due retries pending, and hold deliveries that waited too long."""

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from twite.domain.delivery import AMBIGUITY_WINDOW, LAST_CEILING, PATIENCE, Trigger
from twite.domain.errors import TransientError, TwiteError
from twite.domain.history import ConversionCounts
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import NOTICEABLE, MonotonicClock
from twite.gateway.ports.events import Misdated, Moved, Observer, Troubled, TroublePlace
from twite.gateway.ports.machine import wait_for_event
from twite.gateway.ports.outbox import DeliveryStore, SweepRequest
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import ClockRecord

LONGEST_REST: Final = 5 * SECOND
SHORTEST_REST: Final = SECOND // 10
_SLACK: Final = 10 * SECOND


class Sweeper:
    """Applies every transition of a delivery that depends on time alone."""

    def __init__(
        self,
        *,
        outbox: DeliveryStore,
        clock: MonotonicClock,
        observer: Observer,
        wake_all: Callable[[], None],
        lease: int,
        holding: AbstractSet[int],
        cautious: frozenset[str],
    ) -> None:
        """`holding` is the live set of leases in flight in this process."""
        self._outbox = outbox
        self._holding = holding
        self._cautious = cautious
        self._offset_told = 0
        self._stored: int | None = None
        self._furthest = max(LAST_CEILING, lease) + _SLACK
        self._clock = clock
        self._observer = observer
        self._wake_all = wake_all
        # Why the store could not be written to at the last sweep, or None.
        self.trouble: str | None = None

    async def once(self) -> int:
        """Sweep, and return milliseconds until it is worth doing again."""
        now = self._clock.now()
        # Hold nothing for its age while the clock is not trusted.
        ages = self._clock.is_trusted
        swept = await self._outbox.sweep(
            SweepRequest(
                now=now,
                ambiguous_before=now - AMBIGUITY_WINDOW if ages else 0,
                waiting_before=now - PATIENCE if ages else 0,
                furthest=now + self._furthest,
                holding=frozenset(self._holding),
                cautious=self._cautious,
            )
        )
        self._tell_offset()
        ahead = self._clock.ahead
        if ahead is not None and (self._stored is None or abs(ahead - self._stored) >= NOTICEABLE):
            await self._outbox.put([ClockRecord(ahead=ahead)])
            self._stored = ahead
        for trigger, many in ((Trigger.EXPIRED, swept.expired), (Trigger.HELD, swept.held)):
            if many:
                self._observer.see(Moved(pixel="", trigger=trigger, deliveries=many))
        if swept.expired or swept.promoted:
            self._wake_all()
        if swept.next_due is None:
            return LONGEST_REST
        return min(LONGEST_REST, max(SHORTEST_REST, swept.next_due - now))

    def _tell_offset(self) -> None:
        """Report the offset of the machine's clock from X's, whenever it changes."""
        offset = self._clock.offset
        if abs(offset - self._offset_told) >= NOTICEABLE:
            self._offset_told = offset
            self._observer.see(Misdated(offset=offset))

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweep until told to stop."""
        while not stopping.is_set():
            try:
                rest = await self.once()
                self.trouble = None
            except TransientError as error:
                self.trouble = error.reason
                self._observer.see(Troubled(where=TroublePlace.SWEEP, reason=error.reason))
                rest = LONGEST_REST
            except Exception as fault:  # noqa: BLE001  without the sweeper no retry is ever sent
                self._observer.see(Troubled(where=TroublePlace.SWEEP, reason=type(fault).__name__))
                rest = LONGEST_REST
            await wait_for_event(stopping, self._clock, most=rest)


class BalanceCheck:
    """Reports a balance that is not zero: a bug of Twite's, never the client's."""

    def __init__(self, *, records: Queries, observer: Observer) -> None:
        self._records = records
        self._observer = observer

    async def once(self) -> Sequence[ConversionCounts] | None:
        """Check each account by itself, since two residues may cancel out in the total.

        Returns the accounts, or None if the store cannot be read: that is reported, not raised.
        """
        try:
            accounts = await self._records.balance()
        except TwiteError as error:
            self._observer.see(Troubled(where=TroublePlace.AUDIT, reason=str(error)))
            return None
        for account in accounts:
            if account.balance:
                whose = f"source {account.source} and pixel {account.pixel or 'none'}"
                reason = f"{account.balance} conversions of {whose} are nowhere"
                self._observer.see(Troubled(where=TroublePlace.BALANCE, reason=reason))
        return accounts
