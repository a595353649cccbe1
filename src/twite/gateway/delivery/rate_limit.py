"""Rate limit of one account, shared by all workers that send with it.

Times are monotonic, so that changes of the wall clock neither reset the count nor extend a wait.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

import msgspec

from twite.domain.destination import LONG_WAIT, LONGEST_X_WAIT, RATE_WINDOW, Destination
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import DeliveryStore
from twite.gateway.ports.queries import AttemptsQuery
from twite.gateway.ports.state import RateLimitWindow

# A 429 contradicts what Twite knows if this share of the limit is still left.
_ROOM: Final = 0.1
# X's headers are believed for this long when they contradict a later 429.
_RECENTLY: Final = MINUTE
_USED_UP: Final = "X's rate limit is used up"


class Meter:
    """Counts conversions sent in a sliding window. Times are milliseconds of one clock."""

    def __init__(self, *, limit: int, window: int, past: Iterable[tuple[int, int]] = ()) -> None:
        self._limit = limit
        self._window = window
        self._sent: deque[tuple[int, int]] = deque(sorted(past))
        self._total = sum(count for _, count in self._sent)
        # How much X still allows, and until when, according to its headers.
        self._left = self._reset = 0

    def allowance(self, now: int) -> int:
        """Return how many conversions may be sent now."""
        self._forget(now)
        own = max(0, self._limit - self._total)
        if self._is_limited(now):
            return min(own, max(0, self._left))
        return own

    def next_change(self, now: int) -> int:
        """Return the time at which the allowance may grow."""
        moments = []
        if self._sent and self._total >= self._limit:
            moments.append(self._sent[0][0] + self._window)
        if self._left <= 0 and self._is_limited(now):
            moments.append(self._reset)
        return max(moments, default=now)

    def spend(self, now: int, count: int) -> None:
        self._forget(now)
        self._sent.append((now, count))
        self._total += count
        self._left -= count

    def obey(self, *, left: int, reset: int) -> None:
        """Record the limit from X's headers: `left` until `reset`.

        X may count conversions or requests [conflict]; counting conversions is safe in both cases.
        """
        self._left = left
        self._reset = reset

    def _is_limited(self, now: int) -> bool:
        return now < self._reset <= now + LONGEST_X_WAIT

    def _forget(self, now: int) -> None:
        # If the clock went back, conversions with a later time count as sent now.
        ahead = 0
        while self._sent and self._sent[-1][0] > now:
            ahead += self._sent.pop()[1]
        if ahead:
            self._sent.append((now, ahead))
        while self._sent and self._sent[0][0] <= now - self._window:
            self._total -= self._sent.popleft()[1]


class RateLimit:
    """How many conversions an account may still send in its window.

    Workers hold `lock` from the call of `left` until `spend`, because they write a claim to disk in
    between.
    """

    def __init__(
        self,
        *,
        limit: int,
        clock: Clock,
        past: Iterable[tuple[int, int]],
        pixels: Sequence[str] = (),
    ) -> None:
        """`past` lists earlier sends as (wall time, conversions); `pixels` share the limit."""
        self.limit = limit
        self.pixels = list(pixels)
        self._clock = clock
        ago = clock.elapsed() - clock.now()
        self._meter = Meter(
            limit=limit, window=RATE_WINDOW, past=[(at + ago, many) for at, many in past]
        )
        self._closed_until = 0
        self._noted_until = 0
        # Why nothing is sent until then.
        self.reason = _USED_UP
        # When X's headers last said that something is left.
        self._granted_at: int | None = None
        # (pixel, event) → the reset of its own limit.
        self._limited_events: dict[tuple[str, str], int] = {}
        self.lock = asyncio.Lock()

    def share(self, pixels: Iterable[str]) -> None:
        """Share the limit with more pixels of the account."""
        self.pixels += [pixel for pixel in pixels if pixel not in self.pixels]

    def left(self) -> int:
        """Return how many conversions may be sent now."""
        return self._meter.allowance(self._clock.elapsed())

    def wait(self) -> int:
        """Return the milliseconds until more may be sent; 0 for now."""
        now = self._clock.elapsed()
        if self._meter.allowance(now) > 0:
            return 0
        return max(1, self._meter.next_change(now) - now)

    def spend(self, count: int) -> None:
        self._meter.spend(self._clock.elapsed(), count)

    @property
    def is_closed_by_x(self) -> bool:
        return self._clock.elapsed() < self._closed_until

    def unnoted(self) -> int | None:
        """Return the wall time of a reset that is not stored yet, or None.

        Differences below a second are ignored: X's clock has whole seconds.
        """
        now = self._clock.elapsed()
        if self._closed_until <= max(now, self._noted_until + SECOND):
            return None
        return self._closed_until - now + self._clock.now()

    def noted(self, until: int) -> None:
        """Record that the reset at this wall time is stored."""
        self._noted_until = until - self._clock.now() + self._clock.elapsed()

    def obey(self, *, left: int, reset: int, reason: str = _USED_UP) -> None:
        """Apply X's headers: `left` conversions until `reset` (wall time), because of `reason`.

        Responses may arrive out of order, so once X has sent a zero, no response raises the limit
        before the reset.
        """
        now = self._clock.elapsed()
        at = reset - self._clock.now() + now
        if at > now + LONGEST_X_WAIT:
            return
        if left <= 0:
            if at > self._closed_until:
                self.reason = reason
            self._closed_until = at = max(self._closed_until, at)
        elif now < self._closed_until:
            return
        else:
            self._granted_at = now
        self._meter.obey(left=left, reset=at)

    def exceeded(self, whose: tuple[str, str], *, reset: int, names_window: bool) -> None:
        """Apply a 429 to a request of a pixel and event: until the reset, nothing more is sent.

        This closes the account, unless what X and the meter said before contradicts it: much of the
        limit is left. If the response `names_window`, the window of the account or user, X's
        headers must have said so recently. Then only the event is limited. If X also limits another
        event before the reset, the account is closed after all. A wait of hours always closes it,
        because it must survive a restart, and X documents no limit of one event.
        """
        now = self._clock.elapsed()
        at = reset - self._clock.now() + now
        events = self._limited_events
        for event in [event for event, until in events.items() if until <= now]:
            del events[event]
        has_room = self._meter.allowance(now) >= _ROOM * self.limit
        if names_window:
            granted_at = self._granted_at
            has_room &= granted_at is not None and now - granted_at <= _RECENTLY
        if has_room and events.keys() <= {whose} and at <= now + LONG_WAIT:
            events[whose] = at
        else:
            last = max([at, *events.values()])
            self.obey(left=0, reset=reset + last - at)


class GatewayStart(msgspec.Struct, frozen=True):
    """When the gateway started, and how long before that it had recorded something (ms).

    That time does not count, because the machine's clock may have changed meanwhile. It is better
    to send a little late than too early.
    """

    at: int = 0
    away: int = 0

    @classmethod
    def after(cls, last: int, *, now: int) -> Self:
        """Return the start of now; `last` is the latest recorded time, or 0."""
        return cls(at=now, away=max(0, now - last) if last else 0)

    def later(self, at: int) -> int:
        """Return when a conversion counts as sent."""
        return at + self.away if at < self.at else at

    def end(self, until: int) -> int:
        """Return when a stored window ends.

        A downtime makes no window longer than LONG_WAIT: a gateway that was off for days would
        otherwise wait as long for a window that has passed.
        """
        return max(until, min(until + self.away, self.at + LONG_WAIT))


async def restored_limits(
    store: DeliveryStore, clock: Clock, destinations: Sequence[Destination], *, start: GatewayStart
) -> Mapping[str, RateLimit]:
    """Restore a rate limit per account from earlier sends and the stored end of X's window."""
    now = clock.now()
    away = start.away if now < start.at + RATE_WINDOW else 0
    spent = await store.answer(AttemptsQuery(since=now - away - RATE_WINDOW))
    closed = {
        window.pixel: (start.end(window.until), window.reason)
        for window in await store.load(RateLimitWindow)
    }
    accounts: dict[str, list[Destination]] = {}
    for destination in destinations:
        accounts.setdefault(destination.meter, []).append(destination)
    rate_limits = {}
    for name, members in accounts.items():
        pixels = [destination.pixel for destination in members]
        sent = [(start.later(at), many) for pixel in pixels for at, many in spent.get(pixel, ())]
        rate_limit = RateLimit(limit=members[-1].rate, clock=clock, past=sent, pixels=pixels)
        ends = [closed[pixel] for pixel in pixels if pixel in closed]
        if ends:
            end, reason = max(ends)
            rate_limit.obey(left=0, reset=end, reason=reason)
            rate_limit.noted(end)
        rate_limits[name] = rate_limit
    return rate_limits
