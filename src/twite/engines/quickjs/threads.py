"""Templates off the event loop: a thread and a context for each.

A template that hangs holds its own thread until its limit ends it, and the runs of its own that
wait behind; those of other templates have threads of their own.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from twite.domain.errors import TemplatesBusy
from twite.engines.quickjs.engine import QuickJsEngine
from twite.sgtm.sandbox import Answer, Call, Limits, Turn
from twite.sgtm.template import Template

MOST_WAITING: Final = 200
_AGAIN: Final = 1  # seconds

Told = TypeVar("Told")


class TemplateThreads:
    """The port `gateway.templates.RunsTemplates`.

    `templates` are known by name, `keys` are what hmacSha256 signs with. At most `waiting` runs of
    a template wait for its thread; one more is refused by TemplatesBusy. Threads and contexts are
    made when they are first needed.
    """

    def __init__(
        self,
        templates: Mapping[str, Template],
        *,
        limits: Limits | None = None,
        keys: Mapping[str, str] | None = None,
        waiting: int = MOST_WAITING,
    ) -> None:
        self._lanes = {
            name: _Lane(template, limits=limits, keys=keys, waiting=waiting)
            for name, template in templates.items()
        }

    async def start(self, template: str, call: Call) -> Turn:
        """Begin a run of a template. Raises TemplatesBusy."""
        return await self._lanes[template].start(call)

    async def resume(
        self, template: str, run: int, answers: tuple[Answer, ...], *, now: int
    ) -> Turn:
        """Go on with a run: answers, or only the time that has passed."""
        return await self._lanes[template].resume(run, answers, now=now)

    async def end(self, template: str, run: int) -> None:
        """Forget a run that will not be resumed."""
        await self._lanes[template].end(run)

    def stop(self) -> None:
        """Take nothing more; what runs now ends by itself, or by its limits."""
        for lane in self._lanes.values():
            lane.stop()


class _Lane:
    def __init__(
        self,
        template: Template,
        *,
        limits: Limits | None,
        keys: Mapping[str, str] | None,
        waiting: int,
    ) -> None:
        self._template = template
        self._limits = limits
        self._keys = keys
        self._most = waiting
        self._inside = 0
        self._engine: QuickJsEngine | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="template")

    async def start(self, call: Call) -> Turn:
        if self._inside > self._most:
            raise TemplatesBusy(reason="its thread has more than enough", retry_after=_AGAIN)
        return await self._done(lambda: self._made().start(call))

    async def resume(self, run: int, answers: tuple[Answer, ...], *, now: int) -> Turn:
        return await self._done(lambda: self._made().resume(run, answers, now=now))

    async def end(self, run: int) -> None:
        await self._done(lambda: self._ended(run))

    def stop(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _done(self, act: Callable[[], Told]) -> Told:
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, act)
        finally:
            self._inside -= 1

    def _made(self) -> QuickJsEngine:
        # In the thread itself: a context belongs to the one that made it.
        if self._engine is None:
            self._engine = QuickJsEngine(self._template, limits=self._limits, keys=self._keys)
        return self._engine

    def _ended(self, run: int) -> None:
        self._made().end(run)
