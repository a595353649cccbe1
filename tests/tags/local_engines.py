"""Engines in this process instead of engine processes, for tests of their callers."""

import time
from typing import Protocol

import msgspec

from twite.tags.template.sandbox import Call, EffectAnswer, Engine, RunLimits, Turn
from twite.tags.template.template import Template


class MakesEngine(Protocol):
    def __call__(self, template: Template, *, limits: RunLimits) -> Engine: ...


class LocalEngines:
    """Creates local processes; see twite.tags.ports.engines.EngineProcesses."""

    def __init__(self, make: MakesEngine) -> None:
        self._make = make
        self.made: list[LocalProcess] = []

    def start(self) -> None:
        """Do nothing."""

    def process(self, limits: RunLimits) -> "LocalProcess":
        self.made.append(LocalProcess(self._make, limits))
        return self.made[-1]

    async def stop(self) -> None:
        """Do nothing."""


class LocalProcess:
    """Runs turns immediately, in this process; see twite.tags.ports.engines.EngineProcess.

    `ended` lists the numbers of the ended runs, `prepared` the prepared templates.
    """

    def __init__(self, make: MakesEngine, limits: RunLimits) -> None:
        self._make = make
        self.limits = limits
        self.ended: list[int] = []
        self.prepared: list[Template] = []
        self.is_behind = self.stays = False
        self._engines: dict[int, tuple[Template, Engine]] = {}
        self._runs: list[tuple[Engine, int]] = []

    def prepare(self, template: Template) -> None:
        """Record which template was prepared."""
        self.prepared.append(template)
        self.stays = True

    async def start(self, template: Template, call: Call) -> Turn:
        if id(template) not in self._engines:
            self._engines[id(template)] = template, self._make(template, limits=self.limits)
        engine = self._engines[id(template)][1]
        began = time.thread_time()
        turn = engine.start(call)
        self._runs.append((engine, turn.run))
        return self._ended(turn, len(self._runs), began)

    async def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        engine, own = self._runs[run - 1]
        began = time.thread_time()
        return self._ended(engine.resume(own, answers, now=now), run, began)

    def end(self, run: int) -> None:
        """Record which run was ended, and end it."""
        self.ended.append(run)
        engine, own = self._runs[run - 1]
        engine.end(own)

    def demote(self) -> None:
        """Record the call."""
        self.is_behind = True

    def stop(self) -> None:
        """Do nothing."""

    def _ended(self, turn: Turn, run: int, began: float) -> Turn:
        return msgspec.structs.replace(turn, run=run, took=time.thread_time() - began)
