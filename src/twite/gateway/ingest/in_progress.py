"""Requests in progress, so that shutdown and erasure can wait for them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class InProgress:
    """Counts blocks being executed. Use it on one event loop."""

    def __init__(self) -> None:
        self._begun: set[asyncio.Future[None]] = set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count as in progress until the end of the block."""
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun.add(end)
        try:
            yield
        finally:
            self._begun.discard(end)
            end.set_result(None)

    async def passed(self) -> None:
        """Wait until everything in progress now has ended."""
        if self._begun:
            await asyncio.wait(tuple(self._begun))
