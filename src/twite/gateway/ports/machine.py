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
        """Return time that never jumps, for waiting."""

    async def sleep(self, ms: int) -> None:
        """Wait."""


class Randomness(Protocol):
    """What must not be guessed or not be in step."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""

    def nonce(self) -> str:
        """Return ASCII text never returned before."""

    def receipt(self) -> str:
        """Return a new UUID (version 7, so that later ones sort later)."""


class DiskSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Room, in bytes: what is free where the store lies, and what its files take, by name."""

    free: int
    files: Mapping[str, int]


class Disk(Protocol):
    """The disk below the store."""

    async def space(self) -> DiskSpace:
        """Measure it. Raises OSError."""


async def wait_for_event(event: asyncio.Event, clock: Clock, *, most: int) -> None:
    """Return once the event is set, and after `most` milliseconds of the clock at the latest."""
    timer = asyncio.ensure_future(clock.sleep(most))
    news = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({timer, news}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        news.cancel()
