"""A fake clock that moves on command."""

import asyncio
import heapq
from itertools import count


class MovingClock:
    """Time for tests. `jump` moves the wall clock alone, as a wrong or corrected clock does."""

    def __init__(self, now: int = 1_795_600_000_000) -> None:
        self._now = now
        self._elapsed = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> int:
        """Return wall time in milliseconds."""
        return self._now

    def elapsed(self) -> int:
        """Return monotonic milliseconds."""
        return self._elapsed

    async def sleep(self, ms: int) -> None:
        """Wait until the clock has moved that far."""
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + ms, next(self._order), waiter))
        await waiter

    def jump(self, ms: int) -> None:
        """Move the wall clock, and nothing else."""
        self._now += ms

    async def advance(self, ms: int) -> None:
        """Move on, waking each sleeper at its moment and letting it act before time goes on."""
        end = self._elapsed + ms
        await settled()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, waiter = heapq.heappop(self._sleepers)
            self._now += max(0, at - self._elapsed)
            self._elapsed = max(at, self._elapsed)
            if not waiter.done():
                waiter.set_result(None)
                await settled()
        self._now += end - self._elapsed
        self._elapsed = end
        await settled()


async def settled(turns: int = 12) -> None:
    """Run the event loop until every task waits for the clock."""
    for _ in range(turns):
        await asyncio.sleep(0)
