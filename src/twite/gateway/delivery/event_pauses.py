"""Event pauses: an event of which X refuses all alike is not sent to; the pixel's others are.

One delivery of it a minute probes, each time another one: what a probe is refused for is held.
"""

from collections.abc import Iterable
from typing import Final

from twite.domain.errors import TransientError
from twite.gateway.delivery.circuit_breaker import PROBE_EVERY
from twite.gateway.ports.events import Observer, Paused, Resumed
from twite.gateway.ports.store import Clock, Outbox, Pause

# How the reason begins.
REFUSED_ALIKE: Final = "all conversions refused alike"


class EventPauses:
    """One pixel's. A pause is written down, so that it outlives the process."""

    def __init__(
        self,
        *,
        pixel: str,
        outbox: Outbox,
        clock: Clock,
        observer: Observer,
        pauses: Iterable[Pause],
    ) -> None:
        self._pixel = pixel
        self._outbox = outbox
        self._clock = clock
        self._observer = observer
        self._pauses = {pause.event: pause for pause in pauses}
        # What the store holds, as far as is known: it may fail when there is something to write.
        self._noted = dict(self._pauses)
        # A restart may be the operator's cure: the first probes go at once.
        self._probe_at = dict.fromkeys(self._pauses, clock.elapsed())

    def paused(self) -> frozenset[str]:
        """Return the events of which only probes go out."""
        return frozenset(self._pauses)

    def closed(self) -> frozenset[str]:
        """Return the events of which not even a probe is due."""
        now = self._clock.elapsed()
        return frozenset(event for event, at in self._probe_at.items() if now < at)

    def probed(self, event: str) -> None:
        """Hear that something of an event goes out."""
        if event in self._pauses:
            self._probe_at[event] = self._clock.elapsed() + PROBE_EVERY

    def half_open(self) -> None:
        """Probe at once: something has changed."""
        self._probe_at = dict.fromkeys(self._pauses, self._clock.elapsed())

    async def trip(self, event: str, reason: str) -> None:
        """Stop sending of an event. Raises LedgerUnavailable."""
        self._probe_at[event] = self._clock.elapsed() + PROBE_EVERY
        before = self._pauses.get(event)
        if before is None or before.reason != reason:
            since = self._clock.now() if before is None else before.since
            self._pauses[event] = Pause(pixel=self._pixel, event=event, since=since, reason=reason)
            self._observer.see(Paused(pixel=self._pixel, event=event, reason=reason))
        if self._noted.get(event) is not self._pauses[event]:
            await self._outbox.pause(self._pauses[event])
            self._noted[event] = self._pauses[event]

    async def passed(self, event: str) -> None:
        """Send of an event again: X took some. Raises LedgerUnavailable."""
        if self._pauses.pop(event, None) is not None:
            del self._probe_at[event]
            self._observer.see(Resumed(pixel=self._pixel, event=event))
        noted = self._noted.pop(event, None)
        if noted is not None:
            try:
                await self._outbox.resume(self._pixel, event)
            except TransientError:
                self._noted[event] = noted
                raise

    async def release(self) -> None:
        """Send of all events again, because a person says so. Raises LedgerUnavailable."""
        for event in sorted({*self._pauses, *self._noted}):
            await self.passed(event)
