"""Engine worker: one engine process, and the queue of turns for it.

The next turn belongs to the waiting tag that has used the least CPU time so far. A tag with many or
long turns therefore delays other tags only by its turns in progress.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from twite.tags.ports.engines import EngineLost, EngineProcess
from twite.tags.template.sandbox import Call, EffectAnswer, Turn
from twite.tags.template.template import Template

Gate = Callable[[], None]


class EngineWorker:
    """Runs turns in a process, at most `at_once` at a time.

    `gate` is called just before a turn begins, and may raise to prevent it.
    """

    def __init__(self, process: EngineProcess, *, at_once: int = 1) -> None:
        self.process = process
        self._free = at_once
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        # CPU seconds used by each tag. A new tag starts with the CPU time of the tag whose turn
        # began last.
        self._taken: dict[str, float] = {}
        self._least = 0.0
        self.load = 0  # turns that wait or are in progress

    async def start(
        self, whose: str, template: Template, call: Call, *, gate: Gate | None = None
    ) -> Turn:
        """Begin a run when the tag `whose` gets its turn. Raises the errors of the process."""
        return await self._turn(whose, lambda: self.process.start(template, call), gate)

    async def resume(
        self,
        whose: str,
        run: int,
        answers: tuple[EffectAnswer, ...],
        *,
        now: int,
        gate: Gate | None = None,
    ) -> Turn:
        """Continue a run when the tag `whose` gets its turn. Raises the errors of the process."""
        return await self._turn(whose, lambda: self.process.resume(run, answers, now=now), gate)

    def end(self, run: int) -> None:
        self.process.end(run)

    def stop(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for futures in waiting.values():
            for future in futures:
                future.cancel()
        self.process.stop()

    async def _turn(
        self, whose: str, act: Callable[[], Awaitable[Turn]], gate: Gate | None
    ) -> Turn:
        self.load += 1
        took = 0.0
        try:
            await self._enter(whose)
            try:
                if gate is not None:
                    gate()
                turn = await act()
                took = turn.took
            except EngineLost as lost:
                took = lost.took
                raise
            finally:
                self._taken[whose] += took
                self._leave()
        finally:
            self.load -= 1
        return turn

    async def _enter(self, whose: str) -> None:
        if whose not in self._waiting:
            self._taken[whose] = max(self._taken.get(whose, 0.0), self._least)
        if self._free and not self._waiting:
            self._free -= 1
            self._least = self._taken[whose]
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():
                self._leave()  # its turn came at the same moment
            raise

    def _leave(self) -> None:
        self._free += 1
        while self._waiting:
            whose = min(self._waiting, key=self._taken.__getitem__)
            futures = self._waiting.pop(whose)
            future = futures.popleft()
            if futures:
                # Move to the end, so that other tags that used as little CPU time are next.
                self._waiting[whose] = futures
            if not future.done():
                self._free -= 1
                self._least = self._taken[whose]
                future.set_result(None)
                return
