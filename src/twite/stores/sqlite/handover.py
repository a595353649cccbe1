"""What waits for the writer, on its way from the event loop's thread to the writer's.

Waking a thread for every request cost a fifth of the loop's time: each wake is a system call, and
the woken thread asks for the interpreter's lock at once. So the writer is woken once for all that a
turn of the loop brought, and not at all while it is busy: it takes what has gathered when it is
done.
"""

import asyncio
from collections import deque
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """`put` is for the loop's thread, `wait` and `take` for the writer's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[T] = deque()
        # Tokens only wake; one too many makes the writer look once in vain.
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._idle = False
        self._scheduled = False

    def put(self, one: T) -> None:
        """Add one; the writer hears of it at the end of this turn of the loop."""
        self._waiting.append(one)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._wake)

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

    def _wake(self) -> None:
        self._scheduled = False
        if self._idle:
            self._idle = False
            self._tokens.put(None)
