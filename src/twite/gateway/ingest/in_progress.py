"""What has begun and has not come to its end: for whoever must wait until it has."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class InProgress:
    """Used on one event loop."""

    def __init__(self) -> None:
        self._begun: set[asyncio.Future[None]] = set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Be under way, to the end of the block."""
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun.add(end)
        try:
            yield
        finally:
            self._begun.discard(end)
            end.set_result(None)

    async def passed(self) -> None:
        """Wait until all that is under way now has come to its end."""
        if self._begun:
            await asyncio.wait(tuple(self._begun))
