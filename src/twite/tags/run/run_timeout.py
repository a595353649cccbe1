"""The time limit of a tag run; its clock stops while other runs use the engine process."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from twite.domain.times import LATE_TIMER, READING_TIME, SECOND
from twite.gateway.ports.machine import Clock
from twite.tags.run.outbound import TemplateRun
from twite.tags.template.sandbox import EffectAnswer


async def first_done(tasks: Iterable[asyncio.Task[EffectAnswer]], seconds: float | None) -> None:
    """Wait until a task is done, or for this time; responses that have arrived come first."""
    loop = asyncio.get_running_loop()
    due = loop.time() + (seconds or 0)
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if not done and loop.time() - due > LATE_TIMER / SECOND:
        reading = READING_TIME / SECOND
        await asyncio.wait(tasks, timeout=reading, return_when=asyncio.FIRST_COMPLETED)


@dataclass(slots=True)
class UsedTime:
    """The time that a run itself used while its time limit was stopped, in seconds."""

    seconds: float = 0.0


@dataclass(slots=True, eq=False, repr=False)
class RunTimeout:
    """A run's time limit. `limit` and the clocks of its templates stop while others run."""

    clock: Clock
    runs: list[TemplateRun]
    limit: asyncio.Timeout | None = field(init=False, default=None)

    @contextmanager
    def stopped(self) -> Iterator[UsedTime]:
        """Stop the time. Only the time that the caller reports as used counts against the limit."""
        limit, since, used = self.limit, self.clock.elapsed(), UsedTime()
        left = 0.0 if limit is None else _stop(limit)
        try:
            yield used
        finally:
            for run in self.runs:
                # The template's clock stops, too, because its own requests did not run meanwhile.
                run.began += self.clock.elapsed() - since
            if limit is not None and not limit.expired():
                now = asyncio.get_running_loop().time()
                limit.reschedule(now + max(0.0, left - used.seconds))


def _stop(limit: asyncio.Timeout) -> float:
    """Stop the timeout; return the time left."""
    when = limit.when()
    if when is None or limit.expired():
        return 0.0
    limit.reschedule(None)
    return when - asyncio.get_running_loop().time()
