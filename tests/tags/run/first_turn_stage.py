"""First turns without an engine: the test says which turns each template takes."""

import asyncio

from scripted_run import Stage

from builders import NOW
from twite.gateway.ports.events import FirstTurnEnded, ProblemSeen
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.first_turn import (
    FirstTurns,
)
from twite.tags.run.payload import TagPayload
from twite.tags.run.run_input import RunInput
from twite.tags.runtime.probation import Probations
from twite.tags.template.effects import SetCookie
from twite.tags.template.sandbox import RunResult

WHOSE = "tag:crm, first turn"
FAILED, SILENT = RunResult.FAILURE, RunResult.SILENT


def a_cookie(name="a"):
    return SetCookie(name=name, value="v")


class FirstStage(Stage):
    """First turns of tags; plays their engine pool and observer."""

    def __init__(self, *, within=5_000, **turns):
        super().__init__(**turns)
        self.notices, self.prepared = [], []
        self.trials = Probations(elapsed=self.clock.elapsed, observer=self)
        self.gate = asyncio.Event()
        self.gate.set()
        self.first = FirstTurns(self, storage=self.storage, observer=self, within=within)
        self.policy = self.allow_all

    def see(self, notice):
        self.notices.append(notice)

    @property
    def results(self):
        return [notice.result for notice in self.notices if isinstance(notice, FirstTurnEnded)]

    @property
    def problems(self):
        return [
            (str(notice.where), notice.reason)
            for notice in self.notices
            if isinstance(notice, ProblemSeen)
        ]

    async def start(self, whose, of, call, *, gate=None):
        assert whose == WHOSE
        await self.gate.wait()
        gate()
        self.started.append((of.name, call))
        return await self._turn(next(self.ids), of.name)

    async def resume(self, whose, run, answers, *, now):
        assert whose == WHOSE
        self.resumed.append((self.names[run], answers, now))
        return await self._turn(run, self.names[run])

    def prepare(self, tag, templates, *, for_triggers=()):
        self.prepared.append(
            (tag, [each.name for each in templates], [each.name for each in for_triggers])
        )

    def given(self, *, container=None, event=None, pixels=False):
        rule = TagRule(name="crm")
        return RunInput(
            container_config=ContainerConfig(
                container=container or self.container(), rules={"crm": rule}
            ),
            rule=rule,
            payload=TagPayload(
                pixel="o8z6j", at=NOW, event=event or {"event_name": "x"}, pixels=pixels
            ),
            seed=7,
        )

    async def cookies(self, **more):
        """Run one first turn; return the names of its cookies, None without an addition."""
        responses = await self.first.run_all({4: self.given(**more)})
        assert responses.keys() <= {4}
        return [cookie.name for cookie in responses[4].cookies] if responses else None
