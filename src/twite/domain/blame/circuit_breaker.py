"""Circuit breaker: stop sending to a pixel that X refuses; probe it with one delivery at a time.

Times are milliseconds of the monotonic clock: `elapsed`.
"""

from typing import Final, Self

import msgspec

from twite.domain.delivery import backoff
from twite.domain.pause import Cause, Pause
from twite.domain.times import MINUTE, SECOND

PROBE_EVERY: Final = MINUTE
# How long to wait before another conversion is tried, if the refused one or the pixel may be at
# fault.
GLANCE: Final = 2 * SECOND
# After a failure, the size of the next request is divided by this.
_FEWER: Final = 8


class CircuitBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """The circuit breaker of one pixel or tag.

    `failures` counts consecutive failures, and `backoff_until` is the end of the back-off that they
    caused. `is_slow`: a tag that exceeded a limit sends one delivery at a time, after `slow_until`.
    `is_doubted`: a delivery was refused, and the pixel may or may not be at fault. Until `same_at`,
    only a different delivery may then be the probe.
    """

    pause: Pause | None = None
    probe_at: int = 0
    failures: int = 0
    backoff_until: int = 0
    is_slow: bool = False
    slow_until: int = 0
    is_doubted: bool = False
    same_at: int = 0

    @property
    def is_by_user(self) -> bool:
        return self.pause is not None and self.pause.cause is Cause.USER

    @property
    def is_paused(self) -> bool:
        """Whether only probes may go out."""
        return self.pause is not None or self.is_doubted

    @property
    def probes(self) -> bool:
        """Whether requests are sent one at a time, because each response affects the next."""
        return self.is_paused or self.failures > 0 or self.is_slow

    @property
    def is_tripped(self) -> bool:
        """Whether the pixel is certainly paused.

        While this is uncertain, a batch in flight continues, because an acceptance ends the
        uncertainty.
        """
        return self.pause is not None and not self.is_doubted

    def backs_off(self, elapsed: int) -> bool:
        """Whether no new requests may be sent, because of the back-off after a failure."""
        return elapsed < max(self.backoff_until, self.slow_until)

    def wants_another(self, elapsed: int) -> bool:
        """Whether the probe must be a different delivery from the refused one."""
        return self.is_doubted and elapsed < self.same_at

    def size_of_probe(self, usual: int) -> int:
        """Return how many conversions the next request may hold.

        It is one while only probes may be sent, and small after failures, because one of the
        conversions may be the cause.
        """
        return 1 if self.is_paused else max(1, usual // _FEWER**self.failures)

    def wait(self, elapsed: int) -> int:
        """Return the milliseconds until something may be sent; 0 for now."""
        if self.is_by_user:
            return PROBE_EVERY
        until = max(self.backoff_until, self.slow_until)
        if self.is_paused:
            until = max(until, self.probe_at)
        return max(0, until - elapsed)

    def half_open(self, elapsed: int) -> Self:
        """Probe immediately, with any delivery: the pixel has new credentials."""
        return msgspec.structs.replace(self, probe_at=elapsed, same_at=elapsed)

    def released(self, elapsed: int) -> Self:
        """End any pause, and the back-off."""
        return msgspec.structs.replace(self, pause=None, is_doubted=False).responded(elapsed)

    def doubted(self, pause: Pause, *, alone: bool, is_likely: bool, elapsed: int) -> Self:
        """Record a refusal that may concern one delivery or the whole pixel.

        Another delivery is tried soon; if X refuses it, too, the pixel is at fault. If no other is
        pending, the refused one is retried: soon, or after the interval of probes if it was `alone`
        in its request. With `is_likely`, the pixel is paused in the meantime.
        """
        if self.is_paused:
            return self.tripped(pause, elapsed)
        return msgspec.structs.replace(
            self,
            pause=pause if is_likely else None,
            is_doubted=True,
            probe_at=elapsed + GLANCE,
            same_at=elapsed + (PROBE_EVERY if alone else GLANCE),
        )

    def tripped(self, pause: Pause, elapsed: int) -> Self:
        """Open the breaker: stop sending except for probes."""
        if self.is_by_user:
            return self  # the delivery was already in flight; nothing more is sent anyway
        was = self.pause
        return msgspec.structs.replace(
            self,
            pause=was if was is not None and was.reason == pause.reason else pause,
            is_doubted=False,
            probe_at=elapsed + PROBE_EVERY,
        )

    def failed(self, *, elapsed: int, jitter: float) -> Self:
        """Record a failure (5xx, no answer) and back off, longer each time.

        Deliveries back off on their own; the pixel's back-off keeps a full queue from trying every
        batch while X is down. `jitter` is in [0, 1).
        """
        probed = msgspec.structs.replace(self, probe_at=elapsed + PROBE_EVERY)
        if elapsed < self.backoff_until:
            # Several batches were in flight, but it is one outage.
            return probed
        failures = self.failures + 1
        # At most the probe interval, so that the gateway notices when X has recovered.
        rest = min(backoff(attempts=failures, randomness=jitter), PROBE_EVERY)
        return msgspec.structs.replace(probed, failures=failures, backoff_until=elapsed + rest)

    def responded(self, elapsed: int) -> Self:
        """Record that X answered: end the back-off."""
        return msgspec.structs.replace(self, failures=0, backoff_until=elapsed)

    def passed(self) -> Self:
        """Close, because X accepted a request, or refused it for its content."""
        if self.is_by_user or not self.is_paused:
            return self
        return msgspec.structs.replace(self, pause=None, is_doubted=False)

    def slowed(self, rest: int | None, *, elapsed: int) -> Self:
        """Send one delivery at a time, after `rest` milliseconds; None ends this mode."""
        return msgspec.structs.replace(
            self, is_slow=rest is not None, slow_until=elapsed + (rest or 0)
        )
