"""A tag's run with scripted responses: `Stage.run` runs the code of a template."""

from pathlib import Path

import msgspec
from local_engines import LocalEngines

from fakes import ScriptedWeb
from twite.domain.secret import Secret
from twite.machine.system import SystemClock
from twite.tags.container.parts import (
    Container,
    ContainerTag,
    SequencedTag,
    Variable,
    VariableSource,
)
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.outbound import RunContext
from twite.tags.run.payload import TagPayload
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.template.permissions import Grant
from twite.tags.template.template import TemplatePart, read_template

TEMPLATE = read_template((Path(__file__).parents[1] / "templates/crm_post.tpl").read_bytes())
SECRET = "key-of-the-vendor"
SEND = "const send = require('sendHttpRequest');\n"


class NotForX:
    async def take(self, _request, **_source):
        return None


class Seen:
    def __init__(self):
        self.notices = []

    def see(self, notice):
        self.notices.append(notice)


class Skipping(SystemClock):
    skipped = 0

    def elapsed(self):
        return super().elapsed() + self.skipped


class Stage:
    def __init__(self, *answers):
        self.web = ScriptedWeb(answers)
        self.google = GoogleClient(clock=SystemClock())
        self.seen = Seen()
        self.clock = SystemClock()
        self.may_send = True

    async def run(
        self,
        code,
        *,
        setup=None,
        teardown=None,
        needed=True,
        event=None,
        make=QuickJsEngine,
        engines=None,
        draw=0,
        first_turn=0,
        headers=(),
        **said,
    ):
        """Run a tag, and perhaps one before it and one after it."""
        engine_pool = EnginePool(engines or LocalEngines(make), elapsed=SystemClock().elapsed)
        engine_pool.start()
        run_context = RunContext(
            engine_pool=engine_pool,
            web=self.web,
            google=self.google,
            to_x=NotForX(),
            storage=TemplateStorage(),
            clock=self.clock,
            observer=self.seen,
            may_send=lambda: self.may_send,
        )
        before_it = None if setup is None else SequencedTag(tag="setup", needed=needed)
        after_it = None if teardown is None else SequencedTag(tag="teardown", needed=needed)
        lot = Variable(name="Lot", type=VariableSource.RANDOM, least=1, most=9_999_999)
        main = ContainerTag(name="crm", template="main", setup=before_it, teardown=after_it)
        tags = [msgspec.structs.replace(main, fields={"lot": "{{Lot}}"})]
        templates = {"main": with_code(code)}
        for name, its in (("setup", setup), ("teardown", teardown)):
            if its is not None:
                tags.append(ContainerTag(name=name, template=name))
                templates[name] = with_code(its)
        rule = TagRule(name="crm", secrets=(Secret(SECRET),), **({"timeout": 5_000} | said))
        container_config = ContainerConfig(
            container=Container(tags=tuple(tags), templates=templates, variables=(lot,)),
            rules={"crm": rule},
            headers=headers,
        )
        letter = TagPayload(
            pixel="o8z6j",
            at=1_795_600_000_000,
            event=event or {"event_name": "x"},
            draw=draw,
            seed=first_turn,
        )
        try:
            return await TagRun(
                run_context, container_config=container_config, rule=rule, payload=letter, seed=7
            ).run()
        finally:
            await engine_pool.stop()


def with_code(code):
    grants = (
        *TEMPLATE.grants,
        Grant(permission="read_request", parameters={"requestAccess": "any"}),
        Grant(permission="access_template_storage"),
        Grant(permission="access_response", parameters={"writeResponseAccess": "any"}),
        Grant(permission="use_google_credentials", parameters={"allowedScopes": ["s"]}),
        Grant(
            permission="set_cookies",
            parameters={"allowedCookies": [{"name": "*", "secure": "any", "session": "any"}]},
        ),
    )
    return msgspec.structs.replace(TEMPLATE, code=TemplatePart(text=code, line=1), grants=grants)
