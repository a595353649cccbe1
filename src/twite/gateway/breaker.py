"""Breaker: a pixel that X refuses as such is not sent to; one delivery at a time probes it."""

from typing import Final

from twite.domain.times import MINUTE
from twite.gateway.notices import Observer, Paused, Resumed
from twite.gateway.ports import Clock, Outbox, Pause

PROBE_EVERY: Final = MINUTE


class Breaker:
    """One pixel's. A pause is written down, so that it outlives the process."""

    def __init__(
        self, *, pixel: str, outbox: Outbox, clock: Clock, observer: Observer, pause: Pause | None
    ) -> None:
        self._pixel = pixel
        self._outbox = outbox
        self._clock = clock
        self._observer = observer
        self._pause = pause
        # A restart may be the operator's cure: the first probe goes at once.
        self._probe_at = clock.elapsed()
        self.blames_conversions = False

    @property
    def paused(self) -> bool:
        """Whether only probes may go out."""
        return self._pause is not None

    def wait(self) -> int:
        """Return milliseconds until something may be sent: 0 is now."""
        return 0 if self._pause is None else max(0, self._probe_at - self._clock.elapsed())

    async def trip(self, reason: str, *, blames_conversions: bool = False) -> None:
        """Stop sending. `blames_conversions`: X refused many conversions, all alike."""
        self._probe_at = self._clock.elapsed() + PROBE_EVERY
        self.blames_conversions = blames_conversions
        if self._pause is None or self._pause.reason != reason:
            self._pause = Pause(pixel=self._pixel, since=self._clock.now(), reason=reason)
            await self._outbox.pause(self._pause)
            self._observer.see(Paused(pixel=self._pixel, reason=reason))

    def put_off(self) -> None:
        """Probe again later: this answer decided nothing."""
        self._probe_at = self._clock.elapsed() + PROBE_EVERY

    async def passed(self) -> None:
        """Send again: X took what it was sent, or judged it on its merits."""
        if self._pause is None:
            return
        self._pause = None
        self.blames_conversions = False
        await self._outbox.resume(self._pixel)
        self._observer.see(Resumed(pixel=self._pixel))
