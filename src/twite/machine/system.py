"""The operating system's clock, random numbers, disk space and limit of open files."""

import asyncio
import contextlib
import ctypes
import os
import secrets
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from twite.gateway.ports.machine import DiskSpace

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

# CLOCK_BOOTTIME, where it exists, also counts the time that the machine sleeps.
_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_VARIANTS: Final = "89ab"  # the first digits of a UUID's variant (RFC 9562, 4.1)
# The random bytes of one receipt, and the number of receipts for which bytes are read at once: each
# read releases the GIL, and the thread that accepts and sends must then wait to get it back.
_CHANCE: Final = 10
_AT_ONCE: Final = 256
SPARE: Final = 256  # for the store, X, tags and clients, the process's own files, and the log
_FEWEST: Final = 16
_LOWEST_PRIORITY: Final = 19
_SHORTEST_WAIT: Final = 0.002  # seconds
_LONGEST_PAUSE: Final = 0.25
_BURST: Final = 0.0005  # seconds
_BREATH: Final = 0.0001
_M_ARENA_MAX: Final = -8  # glibc, malloc.h


def yield_cpu() -> None:
    """Let other processes, such as a gateway, have the CPU before this one.

    On Linux, a process that needs the CPU takes it from this one at once, not after a time slice.
    """
    if hasattr(os, "nice"):
        os.nice(_LOWEST_PRIORITY)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class SystemClock:
    """Wall-clock time for stored times, monotonic time for waiting."""

    def now(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def elapsed(self) -> int:
        """Return monotonic milliseconds."""
        return time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000

    async def sleep(self, ms: int) -> None:
        """Wait for some milliseconds."""
        await asyncio.sleep(ms / 1_000)


class YieldingPause:
    """A pause of work in parts: as long as the process had to wait for the CPU or the disk.

    Priorities do not count between control groups, such as a service and a shell. A short wait is
    no sign that others need the machine.
    """

    def __init__(
        self,
        *,
        elapsed: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.process_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`elapsed` and `used` are seconds by the clock and of CPU."""
        self._elapsed, self._used, self._sleep = elapsed, used, sleep
        self._began = elapsed(), used()

    async def __call__(self) -> None:
        began, used = self._began
        waited = self._elapsed() - began - (self._used() - used)
        await self._sleep(0 if waited < _SHORTEST_WAIT else min(waited, _LONGEST_PAUSE))
        self._began = self._elapsed(), self._used()


class ShortBursts:
    """Divides long work into bursts of half a millisecond, with a short sleep after each.

    Between control groups and sessions, Linux lets even an idle process finish its time slice of
    several milliseconds before a process that needs the CPU. A process that sleeps has no slice.
    """

    def __init__(
        self,
        *,
        elapsed: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._elapsed, self._sleep = elapsed, sleep
        self._began = elapsed()

    def __call__(self) -> None:
        """Sleep if the burst is over. Call it between small pieces of the work."""
        if self._elapsed() - self._began >= _BURST:
            self._sleep(_BREATH)
            self._began = self._elapsed()


class SystemRandomness:
    """Unpredictable random numbers, nonces and receipts."""

    def __init__(self) -> None:
        self._endings: deque[str] = deque()

    def fraction(self) -> float:
        return int(self._ending()[-12:], 16) / (1 << 48)

    def nonce(self) -> str:
        """Return 32 hexadecimal digits."""
        return secrets.token_hex(16)

    def receipt(self) -> str:
        """Return a UUID version 7 (RFC 9562, 5.7): 48 bits of milliseconds, then random bits."""
        at = f"{time.time_ns() // 1_000_000:012x}"
        return f"{at[:8]}-{at[8:]}{self._ending()}"

    def _ending(self) -> str:
        """Return the random end of a receipt, never the same one twice. Any thread may call it.

        Its last 12 digits are all random.
        """
        while True:
            try:
                return self._endings.pop()
            except IndexError:
                drawn = os.urandom(_CHANCE * _AT_ONCE)
                self._endings.extend(
                    _ending_of(drawn[at : at + _CHANCE]) for at in range(0, len(drawn), _CHANCE)
                )


def _ending_of(piece: bytes) -> str:
    text, variant = piece.hex(), _VARIANTS[piece[2] >> 4 & 3]
    return f"-7{text[1:4]}-{variant}{text[5:8]}-{text[8:]}"


class SystemDisk:
    """Measures a folder's disk, and the sizes of named files."""

    def __init__(self, folder: Path, files: Mapping[str, Path]) -> None:
        self._folder = folder
        self._files = dict(files)

    async def space(self) -> DiskSpace:
        """Measure the disk space, off the event loop, because a disk may be slow.

        Raises OSError.
        """
        return await asyncio.to_thread(self._measured)

    def _measured(self) -> DiskSpace:
        return DiskSpace(
            free=shutil.disk_usage(self._folder).free,
            files={name: _size(path) for name, path in self._files.items()},
        )


def _size(path: Path) -> int:
    """Return the bytes of a file, 0 if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one, if the system allows it."""
    if resource is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def use_one_arena() -> None:
    """Make all threads allocate from one arena, where the C library is glibc.

    By default each thread has an arena, which keeps the memory that the thread has freed. Call it
    before threads start.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def room_for_connections(most: int) -> int:
    """Return the connection limit, at most `most`, so that SPARE descriptors stay free.

    Each connection needs a descriptor. When no descriptor is free, the system silently stops
    accepting connections, and neither the store nor the sender can open one.
    """
    if resource is None:
        return most
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return max(_FEWEST, min(most, soft - max(SPARE, soft // 8)))
