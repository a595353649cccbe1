"""Queue from the event loop's thread to the writer's thread."""

import asyncio
from collections import deque
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

T = TypeVar("T")

# After this many turns without new operations, the loop counts as having no work left.
_QUIET_TURNS: Final = 3
# The maximum time that an operation waits for others, in seconds.
_PATIENCE: Final = 0.003


class Handover(Generic[T]):
    """Queue from the event loop's thread to the writer's.

    Call `put` in the loop's thread, `wait` and `take` in the writer's. Threads that compete for the
    interpreter's lock slow each other down. A request took 95 µs of the loop's time if every
    request woke the writer, 76 µs if each turn of the loop did, and 63 µs if an idle writer is
    woken only when the loop has no work. So operations are collected, for a few milliseconds at
    most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[T] = deque()
        # Tokens only wake the writer. A superfluous token costs it one needless check.
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._idle = False
        # Whether the loop is checking if more operations arrive.
        self._looking = False
        self._until = 0.0
        self._seen = 0
        self._quiet = 0

    def put(self, item: T) -> None:
        """Add an operation; the writer is woken when the loop has no more work."""
        self._waiting.append(item)
        if not self._looking:
            self._looking = True
            self._until = self._loop.time() + _PATIENCE
            self._seen = self._quiet = 0
            self._loop.call_soon(self._look)

    def wait(self) -> None:
        """Wait until the queue is not empty."""
        while not self._waiting:
            self._idle = True
            # Check again: if an operation arrived before the flag was set, nothing would wake the
            # writer.
            if self._waiting:
                self._idle = False
                return
            self._tokens.get()

    def take(self) -> T | None:
        """Return the next operation, or None."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _look(self) -> None:
        """Wake an idle writer, or check again in the next turn."""
        if self._idle:
            gathered = len(self._waiting)
            self._quiet = self._quiet + 1 if gathered == self._seen else 0
            self._seen = gathered
            if self._quiet < _QUIET_TURNS and self._loop.time() < self._until:
                self._loop.call_soon(self._look)
                return
            self._idle = False
            self._tokens.put(None)
        self._looking = False
