"""Engine processes of client templates: each client has a few processes of its own.

A run that hangs occupies a process of its client until a limit ends the run, or until Twite ends
the process. Other clients are not affected. A new run goes to the client's least busy process. A
template that exceeded a limit is on probation.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from twite.domain.errors import TemplatePaused, TemplatesBusy
from twite.domain.times import SECOND
from twite.gateway.ports.events import Observer, SilentObserver
from twite.gateway.ports.machine import Clock
from twite.tags.ports.engines import EngineLost, EngineProcesses
from twite.tags.runtime.engine_worker import EngineWorker
from twite.tags.runtime.probation import Probations
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.tags.template.template import Template

PROCESSES: Final = 2  # per client
MOST_WAITING: Final = 200
_AGAIN: Final = 1  # seconds


class _TemplatePaused(Exception):
    """The template is paused for this many milliseconds."""

    def __init__(self, wait: int) -> None:
        super().__init__(wait)
        self.wait = wait


class ClientEngines:
    """Runs client templates.

    `templates` has the templates by the name of their client. Each template has at most
    `processes`, started on demand, and at most `waiting` turns that wait or are in progress:
    further runs are refused with TemplatesBusy. During a pause on probation, new runs are refused
    with TemplatePaused, and continued runs wait. Run numbers are unique per template.
    """

    def __init__(
        self,
        templates: Mapping[str, Template],
        *,
        engines: EngineProcesses,
        clock: Clock,
        observer: Observer | None = None,
        limits: RunLimits | None = None,
        processes: int = PROCESSES,
        waiting: int = MOST_WAITING,
    ) -> None:
        self._templates = templates
        self._engines = engines
        engines.start()
        self._most = waiting
        self.clock = clock
        self._probations = Probations(elapsed=clock.elapsed, observer=observer or SilentObserver())
        self._workers = {
            name: [EngineWorker(engines.process(limits or RunLimits())) for _ in range(processes)]
            for name in templates
        }

    async def start(self, template: str, call: Call) -> Turn:
        if wait := self._probations.rest(_whose(template)):
            raise _paused(template, wait)
        workers = self._workers[template]
        if sum(worker.load for worker in workers) >= self._most:
            raise TemplatesBusy(
                reason="the client's engine processes have too many requests", retry_after=_AGAIN
            )
        # If several processes have equally little to do, use the first, so that few are started.
        at = min(range(len(workers)), key=lambda index: workers[index].load)
        try:
            return await self._turn(
                template,
                at,
                lambda gate: workers[at].start("", self._templates[template], call, gate=gate),
            )
        except _TemplatePaused as rests:
            raise _paused(template, rests.wait) from None

    async def resume(
        self, template: str, run: int, answers: tuple[EffectAnswer, ...], *, now: int
    ) -> Turn:
        """Continue a run, with answers or because its time has come."""
        own, at = divmod(run, len(self._workers[template]))
        worker = self._workers[template][at]
        while True:
            if wait := self._probations.rest(_whose(template)):
                await self.clock.sleep(wait)
                continue
            try:
                return await self._turn(
                    template,
                    at,
                    lambda gate: worker.resume("", own, answers, now=now, gate=gate),
                )
            except _TemplatePaused:
                continue

    async def end(self, template: str, run: int) -> None:
        own, at = divmod(run, len(self._workers[template]))
        self._workers[template][at].end(own)

    async def stop(self) -> None:
        for workers in self._workers.values():
            for worker in workers:
                worker.stop()
        await self._engines.stop()

    async def _turn(
        self, name: str, at: int, act: Callable[[Callable[[], None]], Awaitable[Turn]]
    ) -> Turn:
        """Run a turn in a process. Raises _TemplatePaused if it may not begin now.

        The run's number tells which process has the run.
        """
        workers, whose = self._workers[name], _whose(name)
        begun = False

        def gate() -> None:
            # Check when the turn is about to begin, because the result of the previous turn is
            # known then.
            nonlocal begun
            if wait := self._probations.begin(whose):
                raise _TemplatePaused(wait)
            begun = True

        took, spent, done = 0.0, False, False
        try:
            turn = await act(gate)
            took, spent, done = turn.took, turn.spent, turn.done
        except EngineLost as lost:
            begun = False
            self._probations.lose(whose, lost)
            workers[at].process.demote()
            return Turn(run=0, error=str(lost), spent=True)
        finally:
            if begun:
                self._probations.end(whose, took=took, spent=spent, done=done)
        if spent:
            # A sender whose request hung will probably send it again, so this process gets the
            # lowest priority.
            workers[at].process.demote()
        return msgspec.structs.replace(turn, run=turn.run * len(workers) + at)


def _whose(template: str) -> str:
    return f"client {template}"


def _paused(template: str, wait: int) -> TemplatePaused:
    return TemplatePaused(template=template, retry_after=-(-wait // SECOND))
