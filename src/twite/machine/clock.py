"""Time, from the operating system."""

import asyncio
import time


class SystemClock:
    """Wall time for what is written down, monotonic time for waiting."""

    def now(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def elapsed(self) -> int:
        """Return milliseconds that never jump."""
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, ms: int) -> None:
        """Wait."""
        await asyncio.sleep(ms / 1_000)
