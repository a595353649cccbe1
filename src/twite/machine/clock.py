"""Time, from the operating system."""

import asyncio
import time
from typing import Final

# Where the system has a clock that goes on while the machine sleeps, that is the one to wait by.
_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Wall time for what is written down, monotonic time for waiting."""

    def now(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def elapsed(self) -> int:
        """Return milliseconds that never jump."""
        return time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000

    async def sleep(self, ms: int) -> None:
        """Wait."""
        await asyncio.sleep(ms / 1_000)
