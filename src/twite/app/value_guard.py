"""Settings → what looks at amounts, and remembers what is usual."""

import asyncio
from contextlib import suppress
from typing import Self

from twite.config.settings import Settings
from twite.domain.errors import LedgerUnavailable
from twite.gateway.ingest.value_guard import UsualAmounts, ValueGuards
from twite.gateway.ports.store import Clock


class ValueGuardSetup:
    """Guards with what was learnt before, and a task that writes down what they learn."""

    def __init__(self, guards: ValueGuards, norms: UsualAmounts, clock: Clock) -> None:
        self.guards = guards
        self._norms = norms
        self._task = asyncio.create_task(guards.run(norms, clock))

    @classmethod
    async def begin(cls, settings: Settings, *, norms: UsualAmounts, clock: Clock) -> Self:
        """Read what was learnt before, and go on learning."""
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
        """Write down what was learnt last."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with suppress(LedgerUnavailable):
            await self.guards.keep(self._norms)
