"""Run templates off the event loop: threads and contexts of its own for each template.

A run that hangs occupies a thread of its template until a limit ends it, or until the thread is
abandoned: see gateway.tags.runtime. Other templates have other threads; runs of the same template
go to its least busy thread. A template that exceeded a limit is on trial.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from twite.domain.errors import TemplateRests, TemplatesBusy
from twite.domain.times import SECOND
from twite.engines.quickjs.engine import QuickJsEngine
from twite.gateway.ports.events import Observer, SilentObserver, Troubled
from twite.gateway.ports.machine import Clock
from twite.gateway.tags.runtime.probation import Probation
from twite.gateway.tags.runtime.thread_worker import (
    AbandonedThread,
    HungTurn,
    ThreadWorker,
    hung_notices,
    let_behind,
)
from twite.gtm.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.gtm.template.template import Template

THREADS: Final = 4
# Times the limit: what takes somewhat longer, or is tried twice, has ended by then.
PATIENCE: Final = 12
MOST_WAITING: Final = 200
_AGAIN: Final = 1  # seconds

Told = TypeVar("Told")


class TemplateThreads:
    """The port for running templates off the event loop.

    `templates` are known by name, `keys` are the keys of hmacSha256. Each template has at most
    `threads`, created on demand, and at most `waiting` runs in progress or queued; further ones are
    refused with TemplatesBusy. On trial, a new run during the rest time is refused with
    TemplateRests, and a continued run waits.
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
        self._lanes = {
            name: _Lane(
                name,
                [_Thread(template, limits=limits, keys=keys, left=left) for _ in range(threads)],
                left=left,
                waiting=waiting,
                clock=clock,
                observer=observer or SilentObserver(),
            )
            for name, template in templates.items()
        }

    async def start(self, template: str, call: Call) -> Turn:
        """Begin a run of a template. Raises TemplatesBusy, TemplateRests."""
        return await self._lanes[template].start(call)

    async def resume(
        self, template: str, run: int, answers: tuple[EffectAnswer, ...], *, now: int
    ) -> Turn:
        """Go on with a run: answers, or only the time that has passed."""
        return await self._lanes[template].resume(run, answers, now=now)

    async def end(self, template: str, run: int) -> None:
        """Forget a run that will not be resumed."""
        await self._lanes[template].end(run)

    def stop(self) -> None:
        """Accept nothing more; running turns end by themselves, or by their limits."""
        for lane in self._lanes.values():
            lane.stop()


class _Lane:
    """The threads of one template. A run's number says which thread has it."""

    def __init__(
        self,
        name: str,
        threads: "list[_Thread]",
        *,
        left: AbandonedThread,
        waiting: int,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._name = name
        self._threads = threads
        self._left = left
        self._most = waiting
        self._clock = clock
        self._observer = observer
        self._on_trial = Probation()

    async def start(self, call: Call) -> Turn:
        if wait := self._on_trial.wait(self._clock.elapsed()):
            raise self._rests(wait)
        if sum(thread.load for thread in self._threads) >= self._most:
            raise TemplatesBusy(reason="its threads have more than enough", retry_after=_AGAIN)
        # Of equally idle threads the first, so that few are created.
        at = min(range(len(self._threads)), key=lambda index: self._threads[index].load)
        turn = await self._turn(at, lambda engine: engine.start(call))
        if isinstance(turn, int):
            raise self._rests(turn)
        return turn

    async def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        own, at = divmod(run, len(self._threads))
        while True:
            if wait := self._on_trial.wait(self._clock.elapsed()):
                await self._clock.sleep(wait)
                continue
            turn = await self._turn(at, lambda engine: engine.resume(own, answers, now=now))
            if not isinstance(turn, int):
                return turn

    async def end(self, run: int) -> None:
        own, at = divmod(run, len(self._threads))
        with contextlib.suppress(HungTurn):
            await self._threads[at].call(lambda key_set: key_set.engine().end(own))

    def stop(self) -> None:
        for thread in self._threads:
            thread.stop()

    async def _turn(self, at: int, act: Callable[[QuickJsEngine], Turn]) -> Turn | int:
        """Have a thread run a turn; return how long to wait where it may not begin now."""
        loop = asyncio.get_running_loop()

        def tried(key_set: _Kit) -> Turn | int:
            # In the thread: others that wait for it must know at once how this one ended.
            if wait := self._on_trial.begin(self._clock.elapsed()):
                return wait
            began, spent, done = time.thread_time(), False, False
            try:
                turn = act(key_set.engine())
                spent, done = turn.spent, turn.done
                return _behind_if_spent(self._numbered(turn, at))
            finally:
                # Of a thread that was left behind all has been told.
                if not key_set.is_left:
                    took = time.thread_time() - began
                    changed = self._on_trial.end(
                        self._clock.elapsed(), took=took, spent=spent, done=done
                    )
                    if changed is not None:
                        with contextlib.suppress(RuntimeError):  # the loop is closed
                            loop.call_soon_threadsafe(lambda: self._tell(on=changed))

        try:
            return await self._threads[at].call(tried)
        except HungTurn as hung:
            is_off = self._on_trial.hang(
                self._clock.elapsed(), took=hung.took, too_many=self._left.too_many
            )
            for notice in hung_notices(f"client {self._name}", is_off=is_off):
                self._observer.see(notice)
            return Turn(run=0, error=str(hung), spent=True)

    def _tell(self, *, on: bool) -> None:
        reason = "exceeded a limit: it is on trial, and is paused between its runs"
        if not on:
            reason = "ran well often enough: its trial is over"
        self._observer.see(Troubled(where=f"client {self._name}", reason=reason))

    def _rests(self, wait: int) -> TemplateRests:
        return TemplateRests(template=self._name, retry_after=-(-wait // SECOND))

    def _numbered(self, turn: Turn, at: int) -> Turn:
        return msgspec.structs.replace(turn, run=turn.run * len(self._threads) + at)


class _Kit:
    """The engine of one thread: see gateway.worker.Kit. In that thread it is made and used."""

    beats = 0  # a turn is all that a thread does at once

    def __init__(
        self,
        template: Template,
        former: "_Kit | None",
        *,
        limits: RunLimits | None,
        keys: Mapping[str, str] | None,
    ) -> None:
        self.at = template
        self._limits = limits
        self._keys = keys
        self._engine: QuickJsEngine | None = None
        self.is_left = False
        self._begun = 0 if former is None else former.begun

    @property
    def begun(self) -> int:
        """How many runs there have been so far."""
        return self._begun if self._engine is None else self._engine.begun

    def engine(self) -> QuickJsEngine:
        """Return the engine."""
        if self._engine is None:
            self._engine = QuickJsEngine(
                self.at, limits=self._limits, keys=self._keys, begun=self._begun
            )
        return self._engine

    def relieve(self) -> None:
        """See gateway.worker.Kit."""
        if self._engine is not None:
            self._engine.relieve()

    def leave(self, beats: int) -> bool:
        """Let no further turn begin: the current one is the last."""
        self.is_left = beats == self.beats
        if self.is_left and self._engine is not None:
            self._engine.starve()
        return self.is_left


class _Thread:
    """One thread with its context. `load` is how many turns wait for it or are under way."""

    def __init__(
        self,
        template: Template,
        *,
        limits: RunLimits | None,
        keys: Mapping[str, str] | None,
        left: AbandonedThread,
    ) -> None:
        self.load = 0
        patience = PATIENCE * (limits or RunLimits()).time
        self._worker: ThreadWorker[_Kit] = ThreadWorker(
            lambda former: _Kit(template, former, limits=limits, keys=keys),
            name="template",
            patience=patience,
            left=left,
        )

    async def call(self, act: Callable[[_Kit], Told]) -> Told:
        self.load += 1
        try:
            return await self._worker.do("", act)
        finally:
            self.load -= 1

    def stop(self) -> None:
        self._worker.stop()


def _behind_if_spent(turn: Turn) -> Turn:
    """Move a thread whose run exceeded a limit behind all others.

    A client that found a request that hangs will send it again; it should occupy the thread that
    nobody else uses.
    """
    if turn.spent:
        let_behind(threading.get_native_id())
    return turn
