"""Run templates off the event loop: each template has its own threads and contexts.

A run that hangs occupies a thread of its template until a limit ends it, or until the thread is
abandoned (thread_worker.py). Other templates have other threads; runs of the same template
go to its least busy thread. A template that exceeded a limit is on probation.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

import msgspec

from twite.domain.errors import TemplatePaused, TemplatesBusy
from twite.domain.times import SECOND
from twite.engines.quickjs.engine import QuickJsEngine
from twite.gateway.ports.events import Observer, SilentObserver
from twite.gateway.ports.machine import Clock
from twite.gateway.tags.runtime.engine_pool import PATIENCE, TemplateEngines
from twite.gateway.tags.runtime.probation import Probations
from twite.gateway.tags.runtime.thread_worker import (
    AbandonedThread,
    HungTurn,
    ThreadWorker,
    let_behind,
)
from twite.gtm.template.sandbox import Call, EffectAnswer, Engine, RunLimits, Turn
from twite.gtm.template.template import Template

THREADS: Final = 4
MOST_WAITING: Final = 200
_AGAIN: Final = 1  # seconds

T = TypeVar("T")


class TemplateThreads:
    """The port for running templates off the event loop.

    `templates` are known by name, `keys` are the keys of hmacSha256. Each template has at most
    `threads`, created on demand, and at most `waiting` runs in progress or queued; further ones are
    refused with TemplatesBusy. On probation, a new run during a pause is refused with
    TemplatePaused, and a continued run waits.
    """

    def __init__(
        self,
        templates: Mapping[str, Template],
        *,
        clock: Clock,
        observer: Observer | None = None,
        limits: RunLimits | None = None,
        keys: Mapping[str, str] | None = None,
        threads: int = THREADS,
        waiting: int = MOST_WAITING,
    ) -> None:
        left = AbandonedThread()
        self._templates = templates
        self._clock = clock
        self._limits = limits or RunLimits()
        self._keys = keys
        self._most = waiting
        self._probations = Probations(
            elapsed=clock.elapsed, observer=observer or SilentObserver(), left=left
        )
        self._threads = {name: [self._thread(left) for _ in range(threads)] for name in templates}

    async def start(self, template: str, call: Call) -> Turn:
        """Start a run of a template. Raises TemplatesBusy, TemplatePaused."""
        if wait := self._probations.rest(_whose(template)):
            raise _rests(template, wait)
        threads = self._threads[template]
        if sum(thread.load for thread in threads) >= self._most:
            raise TemplatesBusy(reason="its threads have more than enough", retry_after=_AGAIN)
        # Of equally idle threads the first, so that few are created.
        at = min(range(len(threads)), key=lambda index: threads[index].load)
        turn = await self._turn(template, at, lambda engine: engine.start(call))
        if isinstance(turn, int):
            raise _rests(template, turn)
        return turn

    async def resume(
        self, template: str, run: int, answers: tuple[EffectAnswer, ...], *, now: int
    ) -> Turn:
        """Continue a run with answers, or after a timer."""
        own, at = divmod(run, len(self._threads[template]))
        while True:
            if wait := self._probations.rest(_whose(template)):
                await self._clock.sleep(wait)
                continue
            turn = await self._turn(
                template, at, lambda engine: engine.resume(own, answers, now=now)
            )
            if not isinstance(turn, int):
                return turn

    async def end(self, template: str, run: int) -> None:
        """Discard a run that will not be resumed."""
        own, at = divmod(run, len(self._threads[template]))
        with contextlib.suppress(HungTurn):
            await self._threads[template][at].call(
                lambda engines: engines.end(self._templates[template], own)
            )

    def stop(self) -> None:
        """Accept no more runs. Running turns finish, or reach their limits."""
        for threads in self._threads.values():
            for thread in threads:
                thread.worker.stop()

    def _thread(self, left: AbandonedThread) -> "_Thread":
        def engine(template: Template, begun: int) -> Engine:
            return QuickJsEngine(template, limits=self._limits, keys=self._keys, begun=begun)

        return _Thread(
            ThreadWorker(
                partial(TemplateEngines, engine),
                name="template",
                patience=PATIENCE * self._limits.time,
                left=left,
            )
        )

    async def _turn(self, name: str, at: int, act: Callable[[Engine], Turn]) -> Turn | int:
        """Have a thread run a turn; return how long to wait if it may not begin now.

        A run's number says which thread has it.
        """
        loop, threads, whose = asyncio.get_running_loop(), self._threads[name], _whose(name)

        def tried(engines: TemplateEngines) -> Turn | int:
            # In the thread: other turns that wait for it must know at once how this one ended.
            if wait := self._probations.begin(whose):
                return wait
            began, spent, done = time.thread_time(), False, False
            try:
                turn = act(engines.of(self._templates[name]))
                spent, done = turn.spent, turn.done
                return _behind_if_spent(
                    msgspec.structs.replace(turn, run=turn.run * len(threads) + at)
                )
            finally:
                # An abandoned thread has been reported already.
                if not engines.is_left:
                    took = time.thread_time() - began
                    self._probations.end(whose, took=took, spent=spent, done=done)
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(self._probations.report)

        try:
            return await threads[at].call(tried)
        except HungTurn as hung:
            self._probations.hang(whose, hung)
            return Turn(run=0, error=str(hung), spent=True)


class _Thread:
    """One thread. `load` is how many turns wait for it or are in progress."""

    def __init__(self, worker: ThreadWorker[TemplateEngines]) -> None:
        self.worker = worker
        self.load = 0

    async def call(self, act: Callable[[TemplateEngines], T]) -> T:
        self.load += 1
        try:
            return await self.worker.do("", act)
        finally:
            self.load -= 1


def _whose(template: str) -> str:
    return f"client {template}"


def _rests(template: str, wait: int) -> TemplatePaused:
    return TemplatePaused(template=template, retry_after=-(-wait // SECOND))


def _behind_if_spent(turn: Turn) -> Turn:
    """Give a thread whose run exceeded a limit the lowest priority.

    A client that found a request that hangs will send it again; it should occupy the thread that
    nobody else uses.
    """
    if turn.spent:
        let_behind(threading.get_native_id())
    return turn
