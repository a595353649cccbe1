"""Time in the simulator: the true time, and the time of the gateway's machine."""

import asyncio
import heapq
from itertools import count
from typing import Final

from twite.domain.times import MINUTE
from twite.gateway.delivery.sweeper import LONGEST_REST
from twite.gateway.delivery.worker import IDLE

START: Final = 1_795_600_000_000
# After this many turns of the loop without activity, no task can run any more.
_STILL: Final = 9
# Polls with at least this interval may be delayed: see `next_moment`.
_POLLS: Final = {IDLE, LONGEST_REST}

_Sleeper = tuple[int, int, asyncio.Future[None]]


class TrialClock:
    """Virtual time in milliseconds. `shift` is the error of the gateway's wall clock.

    The gateway polls every five seconds, which is 170,000 times per worker in ten days. Polls that
    cannot find anything are delayed to the next possible event, by at most `leap`. `exact` keeps
    every poll.
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
        """Return the wall time of the gateway's machine."""
        return self.true_now() + self.shift

    def true_now(self) -> int:
        """Return X's time, which is always right."""
        return START + self._elapsed

    def elapsed(self) -> int:
        """Return time that never jumps."""
        return self._elapsed

    async def sleep(self, ms: int) -> None:
        """Wait until this time."""
        self.beat()
        waiter = asyncio.get_running_loop().create_future()
        error_group = self._polls if ms in _POLLS else self._sleepers
        heapq.heappush(error_group, (self._elapsed + ms, next(self._order), waiter))
        await waiter
        self.beat()

    def beat(self) -> None:
        """Record activity."""
        self._beats += 1

    def expect(self, ms: int) -> None:
        """Record that something is due in this many milliseconds."""
        heapq.heappush(self._due, self._elapsed + ms)

    def watch(self) -> None:
        """Keep every poll for a while, because there is a fault."""
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
        """Advance, and wake the sleepers that are due."""
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
        """Run the loop until all tasks wait for time."""
        ready = getattr(asyncio.get_running_loop(), "_ready", None)
        still, seen = 0, self._beats
        while still < _STILL:
            await asyncio.sleep(0)
            if ready is not None and not ready:
                return  # nothing else can run
            still = still + 1 if self._beats == seen else 0
            seen = self._beats
