"""Circuit breaker: stop sending to a pixel that X refuses; probe it with one delivery at a time.

Refusals of one event's conversions pause only that event: the pixel's other events are sent. Once a
minute, another delivery of the event is sent as a probe; refused probes are held.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from twite.domain.delivery import backoff
from twite.domain.errors import TransientError
from twite.domain.pause import Cause, Pause, pause_by_user
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import Observer, Paused, Resumed
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import StateStore

PROBE_EVERY: Final = MINUTE
# How long to wait before another conversion is tried, if the refused one or the pixel may be at
# fault.
GLANCE: Final = 2 * SECOND
# After a failure, the size of the next request is divided by this.
_FEWER: Final = 8
# The reason of an event pause begins with this.
REFUSED_ALIKE: Final = "all conversions refused alike"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class CircuitBreaker:
    """The circuit breaker of one pixel. Pauses are stored, and survive a restart."""

    pixel: str
    state: StateStore
    clock: Clock
    observer: Observer
    pause: Pause | None
    # The pause in the store; it may differ from `pause` if a write failed.
    _stored: Pause | None = field(init=False)
    _is_writing: bool = field(init=False, default=False)
    # A restart may be the fix: probe at once.
    _probe_at: int = field(init=False)
    # Consecutive failures, and the end of the back-off that they caused.
    _failures: int = field(init=False, default=0)
    _backoff_until: int = field(init=False)
    # A tag that exceeded a limit is slowed down, whatever the outcome of its runs.
    _slow_until: int = field(init=False)
    _is_slow: bool = field(init=False, default=False)
    # A delivery was refused, and the pixel may or may not be at fault. Until `_same_at`, only a
    # different delivery may be the probe.
    _doubted: bool = field(init=False, default=False)
    _same_at: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._stored = self.pause
        self._probe_at = self._backoff_until = self._slow_until = self.clock.elapsed()

    @property
    def noted(self) -> Pause | None:
        """The pause that is certainly in the store; None while one is being written."""
        return None if self._is_writing else self._stored

    @property
    def paused(self) -> bool:
        """Whether only probes may go out."""
        return self.pause is not None or self._doubted

    @property
    def probes(self) -> bool:
        """Whether requests are sent one at a time, because each response affects the next."""
        return self.paused or self._failures > 0 or self._is_slow

    @property
    def is_tripped(self) -> bool:
        """Whether the pixel is certainly paused.

        While this is uncertain, a batch in flight continues, because an acceptance ends the
        uncertainty.
        """
        return self.pause is not None and not self._doubted

    @property
    def backs_off(self) -> bool:
        """Whether no new requests may be sent, because of the back-off after a failure."""
        return self.clock.elapsed() < max(self._backoff_until, self._slow_until)

    @property
    def wants_another(self) -> bool:
        """Whether the probe must be a different delivery from the refused one."""
        return self._doubted and self.clock.elapsed() < self._same_at

    def size_of_probe(self, usual: int) -> int:
        """Return how many conversions the next request may hold.

        It is one while only probes may be sent, and small after failures, because one of the
        conversions may be the cause.
        """
        return 1 if self.paused else max(1, usual // _FEWER**self._failures)

    @property
    def by_user(self) -> bool:
        return self.pause is not None and self.pause.cause is Cause.USER

    def wait(self) -> int:
        """Return the milliseconds until something may be sent; 0 for now."""
        if self.by_user:
            return PROBE_EVERY
        until = max(self._backoff_until, self._slow_until)
        if self.paused:
            until = max(until, self._probe_at)
        return max(0, until - self.clock.elapsed())

    def half_open(self) -> None:
        """Probe immediately, with any delivery: the pixel has new credentials."""
        self._probe_at = self._same_at = self.clock.elapsed()

    async def hold(self, who: str) -> None:
        """Pause at a user's request. Raises LedgerUnavailable."""
        pause = pause_by_user(self.pixel, since=self.clock.now(), who=who)
        await self.state.put([pause])
        self.pause = self._stored = pause
        self._doubted = False
        self.observer.see(Paused(pause=pause))

    async def release(self) -> None:
        """End any pause at a user's request. Raises LedgerUnavailable."""
        await self.state.delete(Pause, (self.pixel, ""))
        was, self.pause, self._stored = self.pause, None, None
        self._doubted = False
        self.record_response()
        if was is not None:
            self.observer.see(Resumed(pixel=self.pixel))

    def follow(self, stored: Pause | None, *, noted: Pause | None) -> bool:
        """Apply the stored pause, if a user made or ended it; return whether that ended a pause.

        `noted` is the value of the property of that name before the store was read. All other
        pauses are written only by the gateway that owns the pixel.
        """
        if noted is not self.noted:
            return False  # this gateway has changed it since
        if stored is not None:
            if stored.cause is Cause.USER and stored != self.pause:
                self.pause = self._stored = stored
                self._doubted = False
                self.observer.see(Paused(pause=stored))
            return False
        if noted is None or self.pause != noted:
            return False
        self.pause = self._stored = None
        self.record_response()
        self.observer.see(Resumed(pixel=self.pixel))
        return True

    async def doubt(self, cause: Cause, reason: str, *, alone: bool, is_likely: bool) -> None:
        """Record a refusal that may concern one delivery or the whole pixel.

        Another delivery is tried soon; if X refuses it, too, the pixel is at fault. If no other is
        pending, the refused one is retried: soon, or after the interval of probes if it was `alone`
        in its request. With `is_likely`, the pixel is paused in the meantime.
        """
        if self.paused:
            await self.trip(cause, reason)
            return
        now = self.clock.elapsed()
        self._doubted = True
        self._probe_at = now + GLANCE
        self._same_at = now + (PROBE_EVERY if alone else GLANCE)
        if is_likely:
            await self._note(cause, reason)

    async def trip(self, cause: Cause, reason: str) -> None:
        """Open the breaker: stop sending except for probes."""
        if self.by_user:
            return  # the delivery was already in flight; nothing more is sent anyway
        self._doubted = False
        self._probe_at = self.clock.elapsed() + PROBE_EVERY
        await self._note(cause, reason)

    async def _note(self, cause: Cause, reason: str) -> None:
        if self.pause is None or self.pause.reason != reason:
            now = self.clock.now()
            self.pause = Pause(pixel=self.pixel, since=now, cause=cause, reason=reason)
            self.observer.see(Paused(pause=self.pause))
        if self._stored is not self.pause:
            self._stored = self.pause
            self._is_writing = True
            try:
                await self.state.put([self.pause])
            except TransientError:
                self._stored = None
                raise
            finally:
                self._is_writing = False

    def record_failure(self, *, randomness: float) -> None:
        """Record a failure (5xx, no answer) and back off, longer each time.

        Deliveries back off on their own; the pixel's back-off keeps a full queue from trying every
        batch while X is down. `randomness` is in [0, 1).
        """
        now = self.clock.elapsed()
        self._probe_at = now + PROBE_EVERY
        if now < self._backoff_until:
            # Several batches were in flight, but it is one outage.
            return
        self._failures += 1
        rest = backoff(attempts=self._failures, randomness=randomness)
        # At most the probe interval, so that the gateway notices when X has recovered.
        self._backoff_until = now + min(rest, PROBE_EVERY)

    def slow_down(self, rest: int | None) -> None:
        """Send one delivery at a time, after a pause of `rest` milliseconds.

        None ends this mode.
        """
        self._is_slow = rest is not None
        self._slow_until = self.clock.elapsed() + (rest or 0)

    def record_response(self) -> None:
        """Record that X answered: end the back-off."""
        self._failures = 0
        self._backoff_until = self.clock.elapsed()

    async def passed(self) -> None:
        """Close the breaker, because X accepted a request, or refused it for its content."""
        if self.by_user:
            return
        self._doubted = False
        if self.pause is not None:
            self.pause = None
            self.observer.see(Resumed(pixel=self.pixel))
        if self._stored is not None:
            noted, self._stored = self._stored, None
            try:
                # This does not delete a pause that a user has made meanwhile through another
                # gateway.
                await self.state.delete(Pause, noted)
            except TransientError:
                self._stored = noted
                raise


class EventPauses:
    """The event pauses of one pixel. Pauses are stored, and survive a restart."""

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
        # The pauses in the store; they may differ from `_pauses` if a write failed.
        self._stored = dict(self._pauses)
        # A restart may be the fix: probe at once.
        self._probe_at = dict.fromkeys(self._pauses, clock.elapsed())

    def paused(self) -> frozenset[str]:
        """Return the paused events. Only probes are sent for them."""
        return frozenset(self._pauses)

    def closed(self) -> frozenset[str]:
        """Return the paused events whose next probe is not due yet."""
        now = self._clock.elapsed()
        return frozenset(event for event, at in self._probe_at.items() if now < at)

    def want_others(self) -> frozenset[str]:
        """Return the paused events whose probe must be a delivery that is not known to be bad.

        If there is no such delivery until the following probe is due, any delivery may be the
        probe.
        """
        now = self._clock.elapsed()
        return frozenset(event for event, at in self._probe_at.items() if now < at + PROBE_EVERY)

    def probed(self, event: str) -> None:
        pause = self._pauses.get(event)
        if pause is None:
            return
        if pause.cause is Cause.EVENT_LIMITED:
            # Its reset has passed. The stored pause is deleted with the next response.
            del self._pauses[event], self._probe_at[event]
            self._observer.see(Resumed(pixel=self._pixel, event=event))
        else:
            self._probe_at[event] = self._clock.elapsed() + PROBE_EVERY

    def half_open(self) -> None:
        self._probe_at = dict.fromkeys(self._pauses, self._clock.elapsed())

    async def trip(
        self, event: str, cause: Cause, reason: str, *, probe_in: int = PROBE_EVERY
    ) -> None:
        """Pause an event; the next probe is due in `probe_in` ms. Raises LedgerUnavailable."""
        self._probe_at[event] = self._clock.elapsed() + probe_in
        before = self._pauses.get(event)
        if before is None or before.reason != reason:
            since = self._clock.now() if before is None else before.since
            pause = Pause(pixel=self._pixel, event=event, since=since, cause=cause, reason=reason)
            self._pauses[event] = pause
            self._observer.see(Paused(pause=pause))
        if self._stored.get(event) is not self._pauses[event]:
            await self._state.put([self._pauses[event]])
            self._stored[event] = self._pauses[event]

    async def passed(self, event: str) -> None:
        """End the pause of an event: X accepted one of its deliveries. Raises LedgerUnavailable."""
        if self._pauses.pop(event, None) is not None:
            del self._probe_at[event]
            self._observer.see(Resumed(pixel=self._pixel, event=event))
        noted = self._stored.pop(event, None)
        if noted is not None:
            try:
                await self._state.delete(Pause, noted)
            except TransientError:
                self._stored[event] = noted
                raise

    @property
    def noted(self) -> Mapping[str, Pause]:
        """The pauses that are certainly in the store, by event."""
        return {
            event: pause
            for event, pause in self._stored.items()
            if self._pauses.get(event) is pause
        }

    def follow(self, stored: Container[Pause], *, noted: Mapping[str, Pause]) -> None:
        """End the pauses that a user ended through another gateway.

        `noted` is the value of the property of that name before the store was read.
        """
        for event, pause in self.noted.items():
            if noted.get(event) is pause and pause not in stored:
                del self._stored[event], self._pauses[event], self._probe_at[event]
                self._observer.see(Resumed(pixel=self._pixel, event=event))

    async def release(self) -> None:
        """End all pauses at a user's request. Raises LedgerUnavailable."""
        for event in sorted({*self._pauses, *self._stored}):
            await self.passed(event)
