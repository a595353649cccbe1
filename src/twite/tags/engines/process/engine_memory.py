"""The memory of all engine processes together.

A process reserves its memory limit from its start to its end. If the total is not enough for
another process, the process that has been idle longest ends; its runs continue in the process that
replaces it. If no process is idle, the new one waits in a queue.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

MOST: Final = 4 << 30  # bytes
_SHARE: Final = 1.0  # seconds; after that, a busy process lets others go first


class MemoryUser(Protocol):
    """A process with a memory limit."""

    @property
    def idle_since(self) -> float | None:
        """The time of its last turn in the event loop's clock; None if it cannot end now."""

    def rest(self) -> None:
        """End the process, which then releases its memory."""


class EngineMemory:
    """Divides `most` bytes among engine processes. A single process may always run."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held: dict[MemoryUser, tuple[int, float]] = {}
        self._is_making_room = False
        self._queue: deque[tuple[MemoryUser, int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """The bytes that are reserved now."""
        return sum(memory for memory, _ in self._held.values())

    def has(self, user: MemoryUser) -> bool:
        """Return whether a process may begin a turn now, without queueing for memory."""
        found = self._held.get(user)
        if found is None or not self._queue:
            return found is not None
        return asyncio.get_running_loop().time() - found[1] < _SHARE

    async def hold(self, user: MemoryUser, memory: int) -> None:
        """Wait until a process may begin a turn."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((user, memory, ticket))
        self.serve()
        await ticket

    def hold_now(self, user: MemoryUser, memory: int) -> bool:
        """Reserve memory only if it is free; return whether the process has its memory."""
        if user not in self._held and not self._queue and self.held + memory <= self._most:
            self._held[user] = memory, asyncio.get_running_loop().time()
        return user in self._held

    def release(self, user: MemoryUser) -> None:
        """Release the memory of a process that has ended."""
        if self._held.pop(user, None) is not None:
            self.serve()

    def serve(self) -> None:
        """Let the next processes begin. Call it when a process becomes idle."""
        while self._queue and not self._is_making_room:
            user, memory, ticket = self._queue[0]
            if not ticket.done():
                if not self._take(user, memory):
                    return
                ticket.set_result(None)
            self._queue.popleft()

    def _take(self, user: MemoryUser, memory: int) -> bool:
        while user not in self._held and self._held and self.held + memory > self._most:
            idle = {held: at for held in self._held if (at := held.idle_since) is not None}
            if not idle:
                return False
            self._is_making_room = True
            min(idle, key=idle.__getitem__).rest()
            self._is_making_room = False
        self._held[user] = memory, asyncio.get_running_loop().time()
        return True
