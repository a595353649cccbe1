"""Event pauses: stop sending one event of which X refuses everything alike.

The pixel's other events are sent. Once a minute another delivery of the event probes it; refused
probes are held.
"""

from collections.abc import Iterable
from typing import Final

from twite.domain.errors import TransientError
from twite.gateway.delivery.circuit_breaker import PROBE_EVERY
from twite.gateway.ports.events import Observer, Paused, Resumed
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import Pause, StateStore

# How the reason begins.
REFUSED_ALIKE: Final = "all conversions refused alike"


class EventPauses:
    """The event pauses of one pixel. They are stored, so they outlive the process."""

    def __init__(
        self,
        *,
        pixel: str,
        state: StateStore,
        clock: Clock,
        observer: Observer,
        pauses: Iterable[Pause],
    ) -> None:
        self._pixel = pixel
        self._state = state
        self._clock = clock
        self._observer = observer
        self._pauses = {pause.event: pause for pause in pauses}
        # The pauses as stored; a write may have failed.
        self._stored = dict(self._pauses)
        # A restart may be the fix: probe at once.
        self._probe_at = dict.fromkeys(self._pauses, clock.elapsed())

    def paused(self) -> frozenset[str]:
        """Return the paused events: only probes of them are sent."""
        return frozenset(self._pauses)

    def closed(self) -> frozenset[str]:
        """Return the paused events without a due probe."""
        now = self._clock.elapsed()
        return frozenset(event for event, at in self._probe_at.items() if now < at)

    def want_others(self) -> frozenset[str]:
        """Return the paused events that only deliveries not known to be bad may probe.

        If no such delivery comes for as long as a probe takes to be due, any may.
        """
        now = self._clock.elapsed()
        return frozenset(event for event, at in self._probe_at.items() if now < at + PROBE_EVERY)

    def probed(self, event: str) -> None:
        """Record that a delivery of an event is being sent."""
        if event in self._pauses:
            self._probe_at[event] = self._clock.elapsed() + PROBE_EVERY

    def half_open(self) -> None:
        """Probe all paused events at once."""
        self._probe_at = dict.fromkeys(self._pauses, self._clock.elapsed())

    async def trip(self, event: str, reason: str) -> None:
        """Pause an event. Raises LedgerUnavailable."""
        self._probe_at[event] = self._clock.elapsed() + PROBE_EVERY
        before = self._pauses.get(event)
        if before is None or before.reason != reason:
            since = self._clock.now() if before is None else before.since
            self._pauses[event] = Pause(pixel=self._pixel, event=event, since=since, reason=reason)
            self._observer.see(Paused(pixel=self._pixel, event=event, reason=reason))
        if self._stored.get(event) is not self._pauses[event]:
            await self._state.put([self._pauses[event]])
            self._stored[event] = self._pauses[event]

    async def passed(self, event: str) -> None:
        """End the pause of an event: X accepted a delivery of it. Raises LedgerUnavailable."""
        if self._pauses.pop(event, None) is not None:
            del self._probe_at[event]
            self._observer.see(Resumed(pixel=self._pixel, event=event))
        noted = self._stored.pop(event, None)
        if noted is not None:
            try:
                await self._state.delete(Pause, (self._pixel, event))
            except TransientError:
                self._stored[event] = noted
                raise

    async def release(self) -> None:
        """End all event pauses at a user's request. Raises LedgerUnavailable."""
        for event in sorted({*self._pauses, *self._stored}):
            await self.passed(event)
