"""Breaker: a pixel that X refuses as such is not sent to; one delivery at a time probes it.

What X refuses of one event's conversions is no reason: see gateway.event_pauses.
"""

from typing import Final

from twite.domain.errors import TransientError
from twite.domain.retry import backoff
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import Observer, Paused, Resumed
from twite.gateway.ports.store import Clock, Outbox, Pause

PROBE_EVERY: Final = MINUTE
# How soon another conversion is tried where one was refused and nobody says whether it was meant.
GLANCE: Final = 2 * SECOND
# And that of one that a person made: nothing is probed, and X is not asked, until a person ends it.
BY_HAND: Final = "paused by hand"


class CircuitBreaker:
    """One pixel's. A pause is written down, so that it outlives the process."""

    def __init__(
        self, *, pixel: str, outbox: Outbox, clock: Clock, observer: Observer, pause: Pause | None
    ) -> None:
        self._pixel = pixel
        self._outbox = outbox
        self._clock = clock
        self._observer = observer
        self._pause = pause
        # What the store holds, as far as is known: it may fail when there is something to write.
        self._noted = pause
        # A restart may be the operator's cure: the first probe goes at once.
        self._probe_at = clock.elapsed()
        # How often in a row X has been out of reach, and until when it is left alone for it.
        self._stumbles = 0
        self._resting_until = clock.elapsed()
        # What runs here passed a limit: it is slowed down, whatever it comes to.
        self._slow_until = clock.elapsed()
        self._is_slow = False
        # One was refused, and nobody says whether it was meant or the pixel.
        self._doubted = False

    @property
    def paused(self) -> bool:
        """Whether only probes may go out."""
        return self._pause is not None or self._doubted

    @property
    def probes(self) -> bool:
        """Whether requests go out one at a time: each answer says whether there is a next."""
        return self.paused or self._stumbles > 0 or self._is_slow

    @property
    def by_hand(self) -> bool:
        """Whether a person has paused it."""
        return self._pause is not None and self._pause.reason.startswith(BY_HAND)

    def wait(self) -> int:
        """Return milliseconds until something may be sent: 0 is now."""
        if self.by_hand:
            return PROBE_EVERY
        until = max(self._resting_until, self._slow_until)
        if self.paused:
            until = max(until, self._probe_at)
        return max(0, until - self._clock.elapsed())

    def half_open(self) -> None:
        """Probe at once: the pixel has other credentials."""
        self._probe_at = self._clock.elapsed()

    async def hold(self, who: str) -> None:
        """Stop sending because a person says so. Raises LedgerUnavailable."""
        pause = Pause(pixel=self._pixel, since=self._clock.now(), reason=f"{BY_HAND}, by {who}")
        await self._outbox.pause(pause)
        self._pause = self._noted = pause
        self._doubted = False
        self._observer.see(Paused(pixel=self._pixel, reason=pause.reason))

    async def release(self) -> None:
        """Send again because a person says so, whatever the pause. Raises LedgerUnavailable."""
        await self._outbox.resume(self._pixel)
        was, self._pause, self._noted = self._pause, None, None
        self._doubted = False
        self.record_response()
        if was is not None:
            self._observer.see(Resumed(pixel=self._pixel))

    async def doubt(self, reason: str) -> None:
        """Hear that one was refused, and nobody says whether it was meant or the pixel.

        Another tells, soon; if it is refused, too, the pixel is paused.
        """
        if self.paused:
            await self.trip(reason)
        else:
            self._doubted = True
            self._probe_at = self._clock.elapsed() + GLANCE

    async def trip(self, reason: str) -> None:
        """Stop sending."""
        if self.by_hand:
            return  # it was in flight then; nothing goes out now anyway
        self._doubted = False
        self._probe_at = self._clock.elapsed() + PROBE_EVERY
        if self._pause is None or self._pause.reason != reason:
            self._pause = Pause(pixel=self._pixel, since=self._clock.now(), reason=reason)
            self._observer.see(Paused(pixel=self._pixel, reason=reason))
        if self._noted is not self._pause:
            self._noted = self._pause
            try:
                await self._outbox.pause(self._pause)
            except TransientError:
                self._noted = None
                raise

    def record_failure(self, *, randomness: float) -> None:
        """Hear of an answer that decided nothing: leave X alone for a while, longer each time.

        The deliveries have moments of their own; this keeps a full outbox from trying every batch
        of it against an X that is down. `chance` is in [0, 1).
        """
        now = self._clock.elapsed()
        self._probe_at = now + PROBE_EVERY
        if now < self._resting_until:
            # Of those that flew together: one outage, told several times.
            return
        self._stumbles += 1
        rest = backoff(attempts=self._stumbles, randomness=randomness)
        # Never for longer than a paused pixel waits: an X that is back must be noticed.
        self._resting_until = now + min(rest, PROBE_EVERY)

    def slow_down(self, rest: int | None) -> None:
        """Send one at a time, and nothing for `rest` milliseconds; None ends that."""
        self._is_slow = rest is not None
        self._slow_until = self._clock.elapsed() + (rest or 0)

    def record_response(self) -> None:
        """Hear that X answered to the point."""
        self._stumbles = 0
        self._resting_until = self._clock.elapsed()

    async def passed(self) -> None:
        """Send again: X took what it was sent, or judged it on its merits."""
        if self.by_hand:
            return
        self._doubted = False
        if self._pause is not None:
            self._pause = None
            self._observer.see(Resumed(pixel=self._pixel))
        if self._noted is not None:
            noted, self._noted = self._noted, None
            try:
                await self._outbox.resume(self._pixel)
            except TransientError:
                self._noted = noted
                raise
