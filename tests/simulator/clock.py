"""Time in the simulator: one true time, and what the gateway's machine takes it for."""

import asyncio
import heapq
from itertools import count
from typing import Final

from twite.domain.times import MINUTE
from twite.gateway.delivery.sweeper import LONGEST_REST
from twite.gateway.delivery.worker import IDLE

START: Final = 1_795_600_000_000
# So many turns of the loop without a sign of life, and nothing is left that can run.
_STILL: Final = 9
# Who looks again after so long, without news, may be late: see `next_moment`.
_POLLS: Final = {IDLE, LONGEST_REST}

_Sleeper = tuple[int, int, asyncio.Future[None]]


class TrialClock:
    """Virtual time in milliseconds. `shift` is how wrong the gateway's wall clock is.

    The gateway looks every five seconds whether something is due; ten days hold 170,000 such looks
    a lane. Those that come when nothing can be due are late here: until the next moment at which
    something can happen, at most `leap`. `exact` lets each take place.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self.shift = 0
        self.leap = 10 * MINUTE
        self.exact = exact
        self._elapsed = 0
        self._watch_until = 0
        self._sleepers: list[_Sleeper] = []
        self._polls: list[_Sleeper] = []
        self._due: list[int] = []
        self._order = count()
        self._beats = 0

    def now(self) -> int:
        """Return what the gateway's machine takes for the time."""
        return self.true_now() + self.shift

    def true_now(self) -> int:
        """Return X's time, which is right."""
        return START + self._elapsed

    def elapsed(self) -> int:
        """Return time that never jumps."""
        return self._elapsed

    async def sleep(self, ms: int) -> None:
        """Wait until time has come so far."""
        self.beat()
        waiter = asyncio.get_running_loop().create_future()
        error_group = self._polls if ms in _POLLS else self._sleepers
        heapq.heappush(error_group, (self._elapsed + ms, next(self._order), waiter))
        await waiter
        self.beat()

    def beat(self) -> None:
        """Hear that somebody did something."""
        self._beats += 1

    def expect(self, ms: int) -> None:
        """Hear that something is due in so many milliseconds."""
        heapq.heappush(self._due, self._elapsed + ms)

    def watch(self) -> None:
        """Let each look take place for a while: something is amiss."""
        self._watch_until = self._elapsed + 3 * IDLE

    def next_moment(self, until: int) -> int:
        """Return the next moment (elapsed) at which something can happen, at most `until`."""
        moments = [until, self._elapsed + self.leap]
        monitoring = self.exact or self._elapsed < self._watch_until
        for error_group in (self._sleepers, self._polls) if monitoring else (self._sleepers,):
            while error_group and error_group[0][2].done():
                heapq.heappop(error_group)
            if error_group:
                moments.append(error_group[0][0])
        if self._due:
            moments.append(self._due[0])
        return max(self._elapsed, min(moments))

    def move(self, to: int) -> None:
        """Move on and wake who was to sleep until then."""
        self._elapsed = max(self._elapsed, to)
        while self._due and self._due[0] <= self._elapsed:
            heapq.heappop(self._due)
            self._watch_until = max(self._watch_until, self._elapsed + IDLE + 1)
        woken: list[_Sleeper] = []
        for error_group in (self._sleepers, self._polls):
            while error_group and error_group[0][0] <= self._elapsed:
                woken.append(heapq.heappop(error_group))
        for _, _, waiter in sorted(woken, key=lambda sleeper: sleeper[:2]):
            if not waiter.done():
                waiter.set_result(None)

    async def quiet(self) -> None:
        """Let whatever can run in the loop run, until all wait for time."""
        ready = getattr(asyncio.get_running_loop(), "_ready", None)
        still, seen = 0, self._beats
        while still < _STILL:
            await asyncio.sleep(0)
            if ready is not None and not ready:
                return  # nothing else can run
            still = still + 1 if self._beats == seen else 0
            seen = self._beats
