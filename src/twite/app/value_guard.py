"""Wire the value guard: it checks amounts against the usual ones of a pixel."""

import asyncio
from contextlib import suppress
from typing import Self

from twite.config.settings import Settings
from twite.domain.errors import LedgerUnavailable
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import UsualAmounts


class ValueGuardSetup:
    """Value guards with their stored norms, and a task that stores what they learn."""

    def __init__(self, guards: ValueGuards, norms: UsualAmounts, clock: Clock) -> None:
        self.guards = guards
        self._norms = norms
        self._task = asyncio.create_task(guards.run(norms, clock))

    @classmethod
    async def begin(cls, settings: Settings, *, norms: UsualAmounts, clock: Clock) -> Self:
        """Load the norms, and start learning."""
        guards = ValueGuards(
            sources={source.name: source.value_guard for source in settings.sources()},
            pixels={
                destination.pixel: destination.value_guard
                for destination in settings.destinations()
            },
            norms=await norms.norms(),
        )
        return cls(guards, norms, clock)

    async def stop(self) -> None:
        """Store the latest norms."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with suppress(LedgerUnavailable):
            await self.guards.keep(self._norms)
