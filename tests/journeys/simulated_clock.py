"""Run `twite` on a simulated clock, which tests move: python simulated_clock.py serve …

The clock is ahead of the system's by the milliseconds in the file that SIMULATED_CLOCK names. What
waits for a time continues as soon as this clock has reached it.
"""

import asyncio
import mmap
import os
import struct
import subprocess
import sys
from pathlib import Path

from twite.cli import main
from twite.machine.system import SystemClock

VARIABLE = "SIMULATED_CLOCK"
_AHEAD = struct.Struct("q")
_LOOK_SECONDS = 0.02


class SimulatedTime:
    """A file with the shift of the clock, in milliseconds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(_AHEAD.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _AHEAD.size)

    @property
    def ahead(self) -> int:
        (ahead,) = _AHEAD.unpack_from(self._shared)
        return ahead

    @ahead.setter
    def ahead(self, ms: int) -> None:
        _AHEAD.pack_into(self._shared, 0, ms)


class SimulatedProcess(subprocess.Popen):
    """Starts a gateway that runs this file."""

    def __init__(self, command, **more):
        super().__init__([sys.executable, __file__, *command[3:]], **more)


def _simulate(time: SimulatedTime) -> None:
    now, elapsed = SystemClock.now, SystemClock.elapsed

    async def sleep(clock: SystemClock, ms: int) -> None:
        until = clock.elapsed() + ms
        # No event in this process tells that the clock was moved.
        while (left := until - clock.elapsed()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left / 1_000, _LOOK_SECONDS))

    SystemClock.now = lambda clock: now(clock) + time.ahead
    SystemClock.elapsed = lambda clock: elapsed(clock) + time.ahead
    SystemClock.sleep = sleep


if __name__ == "__main__":
    _simulate(SimulatedTime(Path(os.environ[VARIABLE])))
    main()
