"""Wire the value guard: it checks amounts against the usual ones of a pixel."""

import asyncio
from contextlib import suppress
from typing import Self

from twite.config.settings import Settings
from twite.domain.errors import LedgerUnavailable
from twite.domain.stats.value_guard import UsualAmount
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import StateStore


class ValueGuardSetup:
    """Value guards with their stored norms, and a task that stores what they learn."""

    def __init__(self, guards: ValueGuards, state: StateStore, clock: Clock) -> None:
        self.guards = guards
        self._state = state
        self._task = asyncio.create_task(guards.run(state, clock))

    @classmethod
    async def begin(cls, settings: Settings, *, state: StateStore, clock: Clock) -> Self:
        """Load the norms, and start learning."""
        guards = ValueGuards(
            sources={source.name: source.value_guard for source in settings.sources()},
            pixels={
                destination.pixel: destination.value_guard
                for destination in settings.destinations()
            },
            norms=await state.load(UsualAmount),
        )
        return cls(guards, state, clock)

    async def stop(self) -> None:
        """Store the latest norms."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with suppress(LedgerUnavailable):
            await self.guards.keep(self._state)
