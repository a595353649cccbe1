"""Tag runs without an engine: the test says which turns each template takes."""

import asyncio
from collections import defaultdict
from itertools import count

from msgspec import structs

from builders import NOW
from fakes import ScriptedWeb
from twite.machine.system import SystemClock
from twite.tags.container.parts import (
    Container,
    ContainerTag,
    SequencedTag,
    Variable,
    VariableSource,
)
from twite.tags.google.requests import GoogleRequestDenied
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.outbound import RunContext
from twite.tags.run.payload import TagPayload
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.template.effects import HttpEffect, LogEffect
from twite.tags.template.permissions import Grant, policy
from twite.tags.template.sandbox import RunResult, Turn
from twite.tags.template.template import Template, TemplateKind, TemplatePart

TABLE = {"projectId": "*", "datasetId": "*", "tableId": "*", "operation": "write"}
GRANTS = (
    Grant(permission="send_http", parameters={"allowedUrls": "any"}),
    Grant(permission="logging", parameters={"environments": "all"}),
    Grant(permission="access_template_storage"),
    Grant(permission="run_container"),
    Grant(permission="read_event_metadata"),
    Grant(permission="use_message", parameters={"allowedActions": "any"}),
    Grant(permission="access_bigquery", parameters={"allowedTables": [TABLE]}),
    Grant(permission="access_response", parameters={"writeResponseAccess": "any"}),
)


def turn(*effects, outcome=RunResult.SUCCESS, **more):
    return Turn(run=0, effects=effects, outcome=outcome, **more)


def waits_for(*effects, **more):
    """A turn that waits for the answers to its effects."""
    waits = tuple(effect.id for effect in effects if hasattr(effect, "id"))
    return turn(*effects, **{"outcome": RunResult.SILENT, "waiting": waits, **more})


def a_request(id_=1, url="https://vendor.example/"):
    return HttpEffect(id=id_, url=url, method="GET")


def a_line(text="a line"):
    return LogEffect(text=text)


def template(name, kind=TemplateKind.TAG, *, line=1, grants=GRANTS):
    return Template(
        kind=kind, id="", name=name, description="", fields=(), tests=None, notes="",
        code=TemplatePart(text="", line=line), grants=grants,
    )  # fmt: skip


def variable(name="segment"):
    return Variable(name=name, type=VariableSource.TEMPLATE, template=name)


class Clock(SystemClock):
    skipped = 0

    def elapsed(self):
        return super().elapsed() + self.skipped


class Google:
    is_set = True
    denies = False

    async def send(self, asked, *, by, **_options):
        return GoogleRequestDenied(why="no token") if self.denies else await by(asked)


class Silent(ScriptedWeb):
    async def ask(self, asked):
        await super().ask(asked)
        await asyncio.Event().wait()


class NotForX:
    async def take(self, _request, **_source):
        return None


class Preview:
    """A trace that notes what it records."""

    sends_nothing = False

    def __init__(self):
        self.noted = []

    def run(self, name, _mask, templates):
        self.noted.append(("run", name, [each.name for each in templates]))
        return self

    def turn(self, name, _turn):
        self.noted.append(("turn", name))

    def answers(self, answers):
        self.noted.append(("answers", [answer.id for answer in answers]))

    def end(self, outcome):
        self.noted.append(("end", outcome))


class Stage:
    """A tag run; plays its engine pool, worker and observer. `turns` are those of each template."""

    def __init__(self, *answers, clock=None, **turns):
        self.turns = defaultdict(list, {name: [*given] for name, given in turns.items()})
        self.web, self.google, self.clock = ScriptedWeb(answers), Google(), clock or Clock()
        self.storage = TemplateStorage()
        self.ids, self.names = count(1), {}
        self.started, self.resumed, self.ended, self.spent, self.said = [], [], [], [], []
        self.templates = {
            "main": template("main"),
            "setup": template("setup"),
            "teardown": template("teardown"),
        }
        self.variables, self.triggers = {}, ()
        self.run_context = RunContext(
            engine_pool=self,
            web=self.web,
            google=self.google,
            to_x=NotForX(),
            storage=self.storage,
            clock=self.clock,
            observer=self,
        )

    def with_more(self, **more):
        return structs.replace(self.run_context, **more)

    def with_web(self, web):
        self.web = web
        return self.with_more(web=web, observer=self)

    # The observer.
    def see(self, notice):
        self.said.append(notice.text)

    # The engine pool and its worker.
    def worker(self, pixel):
        assert pixel == "tag:crm"
        return self

    def policy(self, of):
        return policy(of.grants)

    def allow_all(self, _of):
        return policy(
            [
                *GRANTS,
                Grant(
                    permission="set_cookies",
                    parameters={
                        "allowedCookies": [{"name": "*", "secure": "any", "session": "any"}]
                    },
                ),
            ]
        )

    def took(self, pixel, seconds):
        self.spent.append((pixel, seconds))

    async def start(self, whose, of, call, **_gate):
        assert whose == "tag:crm"
        self.started.append((of.name, call))
        return await self._turn(next(self.ids), of.name)

    async def resume(self, whose, run, answers, *, now):
        assert whose == "tag:crm"
        self.resumed.append((self.names[run], answers, now))
        return await self._turn(run, self.names[run])

    def end(self, run):
        self.ended.append(self.names[run])

    async def _turn(self, run, name):
        self.names[run] = name
        made = self.turns[name].pop(0) if self.turns[name] else turn()
        if callable(made):
            made = await made()
        if isinstance(made, Exception):
            raise made
        return structs.replace(made, run=run)

    def looks_up(self, *names):
        """Add variables whose values come from templates of the same names."""
        for name in names:
            self.variables[name] = variable(name)
            self.templates[name] = template(name, TemplateKind.VARIABLE)
        return self

    def container(self, *, setup=None, teardown=None, **more):
        """`setup` and `teardown` are whether the tag needs such a tag; None for none."""
        beside = {"setup": setup, "teardown": teardown}
        used = {name: needed for name, needed in beside.items() if needed is not None}
        main = ContainerTag(
            name="crm",
            template="main",
            fields={name: f"{{{{{name}}}}}" for name in self.variables if name in self.templates},
            **{name: SequencedTag(tag=name, needed=needed) for name, needed in used.items()},
            **more,
        )
        return Container(
            tags=(main, *(ContainerTag(name=name, template=name) for name in used)),
            triggers=self.triggers,
            variables=tuple(self.variables.values()),
            templates=self.templates,
        )

    def tag_run(self, *, container=None, payload=(), run=(), seed=7, event=None, at=NOW, **rule):
        payload = dict(payload)
        payload = TagPayload(pixel="o8z6j", at=at, event=event or {"event_name": "x"}, **payload)
        tag_rule = TagRule(name="crm", **({"timeout": 5_000} | rule))
        config = ContainerConfig(container=container or self.container(), rules={"crm": tag_rule})
        self.run = TagRun(
            self.run_context,
            container_config=config,
            rule=tag_rule,
            payload=payload,
            seed=seed,
            **dict(run),
        )
        return self.run

    async def ran(self, **more):
        return await self.tag_run(**more).run()

    @property
    def order(self):
        """The names of the templates that were started, in order."""
        return [name for name, _ in self.started]


def answers_of(stage):
    return [
        (name, [(answer.id, answer.status or answer.phase or answer.type) for answer in answers])
        for name, answers, _ in stage.resumed
    ]
