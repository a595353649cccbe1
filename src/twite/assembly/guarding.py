"""Settings → what looks at amounts, and remembers what is usual."""

import asyncio
from contextlib import suppress
from typing import Self

from twite.assembly.settings import Settings
from twite.domain.errors import LedgerUnavailable
from twite.gateway.guards import Guards, Norms
from twite.gateway.ports import Clock


class Guarding:
    """Guards with what was learnt before, and a task that writes down what they learn."""

    def __init__(self, guards: Guards, norms: Norms, clock: Clock) -> None:
        self.guards = guards
        self._norms = norms
        self._task = asyncio.create_task(guards.run(norms, clock))

    @classmethod
    async def begin(cls, settings: Settings, *, norms: Norms, clock: Clock) -> Self:
        """Read what was learnt before, and go on learning."""
        guards = Guards(
            sources={one.name: one.value_guard for one in settings.sources()},
            pixels={one.pixel: one.value_guard for one in settings.destinations()},
            norms=await norms.norms(),
        )
        return cls(guards, norms, clock)

    async def stop(self) -> None:
        """Write down what was learnt last."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with suppress(LedgerUnavailable):
            await self.guards.keep(self._norms)
