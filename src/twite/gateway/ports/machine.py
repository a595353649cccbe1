"""Machine ports: clock, randomness and disk space."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import msgspec


class Clock(Protocol):
    """Time, in milliseconds."""

    def now(self) -> int:
        """Return wall time since the epoch."""

    def elapsed(self) -> int:
        """Return monotonic time, for waiting."""

    async def sleep(self, ms: int) -> None: ...


class Randomness(Protocol):
    """Random values."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""

    def nonce(self) -> str:
        """Return unique ASCII text."""

    def receipt(self) -> str:
        """Return a UUID (version 7, sorted by time)."""


class DiskSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes free on the store's disk, and used by its files."""

    free: int
    files: Mapping[str, int]


class Disk(Protocol):
    """The disk of the store."""

    async def space(self) -> DiskSpace:
        """Return the disk space. Raises OSError."""


async def wait_for_event(event: asyncio.Event, clock: Clock, *, most: int) -> None:
    """Wait until the event is set, for at most `most` milliseconds."""
    timer = asyncio.ensure_future(clock.sleep(most))
    news = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({timer, news}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        news.cancel()
