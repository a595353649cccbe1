"""Test conversions of pixels without a worker for them: most gateways never have any."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from twite.domain.test_mode import is_test
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock, wait_for_event
from twite.gateway.ports.queries import Queries

# Look for tests after this time even if nothing says so, as workers do.
LOOK_EVERY: Final = MINUTE
# A replay says so for each of its parts.
_LOOK_AT_MOST_EVERY: Final = SECOND // 5


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class PendingTests:
    """Finds the pixels that have test conversions to send. Only these get a worker for tests.

    `accounts` returns the accounts of all pixels, and `start` starts the workers of some.
    """

    queries: Queries
    clock: Clock
    observer: Observer
    accounts: Callable[[], Mapping[str, str]]
    start: Callable[[Collection[str]], Awaitable[None]]
    # Keep their workers: the next tests are usually of the same pixel.
    _found: set[str] = field(init=False, default_factory=set)
    _queued: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def sleeping(self) -> set[str]:
        """Return the pixels of tests that need no worker yet."""
        return {pixel for pixel in self.accounts() if is_test(pixel)} - self._found

    def awake(self) -> dict[str, str]:
        """Return the accounts of the pixels that need a worker."""
        sleeping = self.sleeping()
        return {pixel: name for pixel, name in self.accounts().items() if pixel not in sleeping}

    def wake(self, pixel: str) -> None:
        """Look for pending tests if the pixel is one of tests without a worker."""
        if is_test(pixel):
            self.look()

    def look(self) -> None:
        """Look for pending tests soon, because some were queued or the gateway stops."""
        self._queued.set()

    async def once(self) -> None:
        """Start the workers of the tests that the store has pending ones of."""
        if sleeping := self.sleeping():
            found = sleeping & {hour.pixel for hour in await self.queries.backlog()}
            if found:
                self._found |= found
                await self.start(found)

    async def run(self, stopping: asyncio.Event) -> None:
        """Look for pending tests repeatedly until stopped."""
        while not stopping.is_set():
            self._queued.clear()
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001  tests without a worker are never sent
                self.observer.see(ProblemSeen.of(ProblemPlace.OUTBOX, error))
            await wait_for_event(stopping, self.clock, most=_LOOK_AT_MOST_EVERY)
            await wait_for_event(self._queued, self.clock, most=LOOK_EVERY)
