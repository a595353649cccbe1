"""Engine processes that crash in chosen runs."""

from collections.abc import Callable

from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.ports.engines import EngineLost, EngineProcess
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.tags.template.template import Template

CRASHED = "its engine process ended by SIGSEGV"


class CrashingEngines:
    """Real engine processes, except that a run for which `crashes` is true is lost."""

    def __init__(self, crashes: Callable[[Call], object]) -> None:
        self._engines = EngineServer()
        self._crashes = crashes

    def start(self) -> None:
        self._engines.start()

    def process(self, limits: RunLimits) -> "CrashingProcess":
        return CrashingProcess(self._engines.process(limits), self._crashes)

    async def stop(self) -> None:
        await self._engines.stop()


class CrashingProcess:
    def __init__(self, process: EngineProcess, crashes: Callable[[Call], object]) -> None:
        self._process = process
        self._crashes = crashes

    async def start(self, template: Template, call: Call) -> Turn:
        if self._crashes(call):
            raise EngineLost(CRASHED, took=0.1)
        return await self._process.start(template, call)

    async def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        return await self._process.resume(run, answers, now=now)

    def end(self, run: int) -> None:
        self._process.end(run)

    def demote(self) -> None:
        self._process.demote()

    def stop(self) -> None:
        self._process.stop()
