"""The background tasks of a store: a test ends their pauses, and reads their reports."""

import asyncio
from types import SimpleNamespace

from fakes import settled


class PausingClock:
    """Stands in for `asyncio.sleep` and the monotonic clock of a module."""

    def __init__(self):
        self.time = 1_000.0
        self.takes = 0.0  # seconds between two looks at the clock
        self._pauses = []

    def monotonic(self):
        self.time += self.takes
        return self.time

    async def sleep(self, seconds):
        pause = seconds, asyncio.get_running_loop().create_future()
        self._pauses.append(pause)
        try:
            await pause[1]
        finally:
            self._pauses.remove(pause)

    @property
    def pauses(self):
        """The seconds of the pauses that have not ended."""
        return [seconds for seconds, _ in self._pauses]

    async def end(self, seconds):
        """End the pause of so many seconds."""
        (future,) = [future for pause, future in self._pauses if pause == seconds]
        future.set_result(None)
        await settled()


def pause(monkeypatch, module):
    """Let the tasks of a module pause until the test ends the pause; return their clock."""
    clock = PausingClock()
    names = vars(asyncio) | {"sleep": clock.sleep}
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**names))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


class Seen(list):
    """Implements Observer."""

    def see(self, notice):
        self.append(notice)
