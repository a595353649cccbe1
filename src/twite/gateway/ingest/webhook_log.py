"""The latest deliveries of each webhook: noted in memory, and stored in the background.

They are for people: a crash may lose those of the last second. The counts of conversions and of
ignored messages are stored with the messages.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.domain.errors import LedgerUnavailable
from twite.domain.times import HOUR, SECOND
from twite.domain.webhook_delivery import MOST_DELIVERIES, DeliveryVerdict, WebhookDelivery
from twite.gateway.ports.events import Observer, WebhookAnswered
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.state import StateStore

# Those of an hour count as one delivery, so that a flood neither hides the others nor fills the log
# of the gateway.
_MERGED: Final = frozenset({DeliveryVerdict.REFUSED, DeliveryVerdict.FAILED})
_MERGED_FOR: Final = HOUR
_Merged = tuple[str, DeliveryVerdict, str]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class WebhookLog:
    """Notes deliveries, and reports each to the observer."""

    state: StateStore
    clock: Clock
    randomness: Randomness
    observer: Observer
    # With the time of the first.
    _merged: dict[_Merged, tuple[int, WebhookDelivery]] = field(init=False, default_factory=dict)
    _unsaved: dict[str, dict[str, WebhookDelivery]] = field(init=False, default_factory=dict)
    _task: asyncio.Task[None] | None = field(init=False, default=None)

    def note(
        self,
        webhook: str,
        verdict: DeliveryVerdict,
        *,
        reason: str = "",
        message: str = "",
        receipt: str = "",
    ) -> None:
        """Note what became of a message."""
        at, alike = self.clock.now(), (webhook, verdict, reason)
        began, before = self._merged.get(alike, (at, None))
        if before is not None and at - began < _MERGED_FOR:
            delivery = msgspec.structs.replace(before, at=at, times=before.times + 1)
        else:
            began = at
            delivery = WebhookDelivery(
                id=self.randomness.receipt(),
                webhook=webhook,
                at=at,
                message=message,
                verdict=verdict,
                reason=reason,
                receipt=receipt,
            )
        if verdict in _MERGED:
            self._merged[alike] = began, delivery
        unsaved = self._unsaved.setdefault(webhook, {})
        unsaved[delivery.id] = delivery
        if len(unsaved) > MOST_DELIVERIES:
            del unsaved[next(iter(unsaved))]
        self.observer.see(WebhookAnswered(delivery=delivery))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._save_soon())

    async def stop(self) -> None:
        """Store the latest deliveries."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with suppress(LedgerUnavailable):
            await self._save()

    async def _save_soon(self) -> None:
        """Store the deliveries of a second together, and try again until that succeeds."""
        while self._unsaved:
            await self.clock.sleep(SECOND)
            with suppress(LedgerUnavailable):
                await self._save()

    async def _save(self) -> None:
        unsaved, self._unsaved = self._unsaved, {}
        deliveries = [delivery for some in unsaved.values() for delivery in some.values()]
        if not deliveries:
            return
        try:
            await self.state.put(deliveries)
        except LedgerUnavailable:
            for webhook, some in unsaved.items():
                self._unsaved[webhook] = some | self._unsaved.get(webhook, {})
            raise
