"""CPU budget of a variable at ingest, where the client waits."""

from collections.abc import Callable
from typing import Final

from twite.domain.times import SECOND

SLOW: Final = 0.005  # seconds of CPU a run: who takes less is never held back
A_SECOND: Final = 0.25  # seconds of CPU in each second that passes
MOST: Final = 0.25  # that may be saved


class CpuBudget:
    """The budget of one variable. `elapsed` returns monotonic milliseconds."""

    def __init__(self, *, elapsed: Callable[[], int]) -> None:
        self._elapsed = elapsed
        self._left = MOST
        self._at = elapsed()

    @property
    def is_left(self) -> bool:
        """Whether there is any for one more run."""
        now = self._elapsed()
        self._left = min(MOST, self._left + (now - self._at) / SECOND * A_SECOND)
        self._at = now
        return self._left > 0

    def take(self, took: float) -> None:
        """Count a run of so many seconds of CPU."""
        if took > SLOW:
            self._left -= took
