"""Probation: a template that passed a limit runs one turn at a time, with a long pause after each.

One that has hung in what no limit ends, so often that its threads take all there is, is off.
"""

import threading
from typing import Final

from twite.domain.times import MINUTE, SECOND

PROVEN: Final = 20  # runs in a row within the limits
REST: Final = 19  # times what a turn took: a twentieth of a core goes to it
MOST_HUNG: Final = 2  # turns
OFF: Final = 10 * MINUTE  # callers are told to retry then; only a restart ends it
_IN_HAND: Final = SECOND


class Probation:
    """The probation of one template. Thread-safe.

    `now` are milliseconds that never jump, `took` are seconds of CPU.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_on = False
        self._rests_until = 0
        self._in_progress = 0
        self._ended_well = 0  # runs in a row
        self._hung = 0  # turns, ever
        self._is_off = False

    @property
    def is_on(self) -> bool:
        """Whether the template is on probation."""
        return self._is_on

    @property
    def is_off(self) -> bool:
        """Whether the template is switched off."""
        return self._is_off

    def wait(self, now: int) -> int:
        """Return how many milliseconds there are until a turn may begin; 0 where it may now."""
        with self._lock:
            return self._wait(now)

    def begin(self, now: int) -> int:
        """Begin a turn, or return how long there is to wait, as `wait` does."""
        with self._lock:
            wait = self._wait(now)
            self._in_progress += wait == 0
            return wait

    def end(self, now: int, *, took: float, spent: bool, done: bool) -> bool | None:
        """Hear how a turn ended; return whether it is on trial from now on, None if as before.

        `spent`: a limit was passed; `done`: the run is over.
        """
        with self._lock:
            self._in_progress = max(0, self._in_progress - 1)
            was_on, self._is_on = self._is_on, self._is_on or spent
            if spent:
                self._ended_well = 0
            elif done:
                self._ended_well += 1
            if self._is_on:
                self._rests_until = max(now, self._rests_until) + round(REST * took * SECOND)
                self._is_on = self._ended_well < PROVEN
            return None if self._is_on == was_on else self._is_on

    def hang(self, now: int, *, took: float, too_many: bool) -> bool:
        """Record a turn that hung and cost its thread; return whether the template is off now.

        `too_many`: so many threads were lost that it may not cost another.
        """
        self.end(now, took=took, spent=True, done=True)
        with self._lock:
            self._hung += 1
            self._is_off = self._is_off or too_many or self._hung >= MOST_HUNG
            return self._is_off

    def _wait(self, now: int) -> int:
        if self._is_off:
            return OFF
        if not self._is_on:
            return 0
        rest = max(0, self._rests_until - now)
        return max(rest, _IN_HAND) if self._in_progress else rest
