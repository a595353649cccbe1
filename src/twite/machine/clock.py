"""The system clock: wall time and monotonic time."""

import asyncio
import time
from typing import Final

# CLOCK_BOOTTIME, if the system has it, goes on while the machine sleeps.
_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Wall time for stored times, monotonic time for waiting."""

    def now(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def elapsed(self) -> int:
        """Return monotonic milliseconds."""
        return time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000

    async def sleep(self, ms: int) -> None:
        """Wait."""
        await asyncio.sleep(ms / 1_000)
