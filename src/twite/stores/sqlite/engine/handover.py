"""Queue from the event loop's thread to the writer thread.

Two threads that both want the interpreter's lock slow each other down: a request cost the loop
95 µs when every one of them woke the writer, 76 when each turn of the loop did, and 63 when the
writer is left alone until the loop has run out of work. So what arrives is gathered while it keeps
arriving, for a few milliseconds at most; a busy writer takes what has gathered when it is done.
"""

import asyncio
from collections import deque
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

T = TypeVar("T")

# So many turns of the loop that brought nothing: it has run out of work.
_QUIET_TURNS: Final = 3
# The longest that one may wait for company, in seconds.
_PATIENCE: Final = 0.003


class Handover(Generic[T]):
    """`put` is for the loop's thread, `wait` and `take` for the writer's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[T] = deque()
        # Tokens only wake; one too many makes the writer look once in vain.
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._idle = False
        # While the loop looks whether more comes.
        self._looking = False
        self._until = 0.0
        self._seen = 0
        self._quiet = 0

    def put(self, item: T) -> None:
        """Add one; the writer hears of it when nothing more comes."""
        self._waiting.append(item)
        if not self._looking:
            self._looking = True
            self._until = self._loop.time() + _PATIENCE
            self._seen = self._quiet = 0
            self._loop.call_soon(self._look)

    def wait(self) -> None:
        """Return when there is something to take."""
        while not self._waiting:
            self._idle = True
            # It may have come between the look and the word; then nobody would wake us.
            if self._waiting:
                self._idle = False
                return
            self._tokens.get()

    def take(self) -> T | None:
        """Return the next one, or None when there is none."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _look(self) -> None:
        """Wake an idle writer, or come back in the next turn."""
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
