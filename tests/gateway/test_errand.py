"""An errand: what a template asks for is performed within bounds, and what it says is masked."""

from pathlib import Path

import msgspec
import pytest

from twite.domain.secret import Secret
from twite.engines.quickjs.engine import QuickJsEngine
from twite.gateway.ports import Answer, NoAnswer
from twite.gateway.tags.crew import Crew
from twite.gateway.tags.errand import MOST_REQUESTS, Errand, Tools
from twite.gateway.tags.letter import Letter
from twite.gateway.tags.rule import Company, Rule
from twite.gateway.tags.storage import Storage
from twite.machine import SystemClock
from twite.sgtm.container.parts import Beside, Container, Tag
from twite.sgtm.sandbox import Outcome
from twite.sgtm.template import Part, read_template
from twite.testing.web import ScriptedWeb

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


class Stage:
    def __init__(self, *answers):
        self.web = ScriptedWeb(answers)
        self.seen = Seen()

    async def run(self, code, *, setup=None, needed=True, event=None):
        """Run a tag with this code, and perhaps one before it."""
        crew = Crew(QuickJsEngine, elapsed=SystemClock().elapsed)
        crew.start()
        tools = Tools(
            crew=crew,
            web=self.web,
            to_x=NotForX(),
            storage=Storage(),
            clock=SystemClock(),
            observer=self.seen,
        )
        beside = None if setup is None else Beside(tag="first", needed=needed)
        tags = [Tag(name="crm", template="main", setup=beside)]
        templates = {"main": with_code(code)}
        if setup is not None:
            tags.append(Tag(name="first", template="setup"))
            templates["setup"] = with_code(setup)
        rule = Rule(name="crm", timeout=5_000, secrets=(Secret(SECRET),))
        company = Company(
            container=Container(tags=tuple(tags), templates=templates), rules={"crm": rule}
        )
        letter = Letter(pixel="o8z6j", at=1_795_600_000_000, event=event or {"event_name": "x"})
        try:
            return await Errand(tools, company=company, rule=rule, letter=letter, seed=7).run()
        finally:
            await crew.stop()


def with_code(code):
    return msgspec.structs.replace(TEMPLATE, code=Part(text=code, line=1))


async def test_an_answer_resumes_the_template():
    stage = Stage(Answer(status=204, headers={}, body=b""))

    ran = await stage.run(
        SEND + "send('https://a.example/').then((a) => "
        "a.statusCode === 204 ? data.gtmOnSuccess() : data.gtmOnFailure());"
    )

    assert ran.succeeded
    assert [one.url for one in stage.web.asked] == ["https://a.example/"]


async def test_a_request_without_an_answer_is_told_and_counted_as_left():
    stage = Stage(NoAnswer(reason="no answer in time", left=True))

    ran = await stage.run(SEND + "send('https://a.example/').catch(data.gtmOnFailure);")

    assert (ran.outcome, ran.left, ran.may_pass) == (Outcome.FAILURE, True, True)


async def test_more_requests_than_a_run_may_make_end_it():
    stage = Stage()

    ran = await stage.run(SEND + "for (let i = 0; i < 300; i++) send('https://a.example/');")

    assert ran.error == f"it made more than {MOST_REQUESTS} requests"
    assert ran.is_spent
    assert stage.web.asked == []


@pytest.mark.parametrize(("needed", "succeeded"), [(True, False), (False, True)])
async def test_a_tag_does_not_run_where_the_one_it_needs_failed(needed, succeeded):
    ran = await Stage().run("data.gtmOnSuccess();", setup="data.gtmOnFailure();", needed=needed)

    assert ran.succeeded is succeeded


async def test_what_hangs_is_ended_and_known_for_it():
    ran = await Stage().run("while (true) {}")

    assert ran.is_spent
    assert not ran.left


async def test_a_line_holds_neither_a_secret_nor_a_person_and_they_are_bounded():
    stage = Stage()
    code = (
        "const log = require('logToConsole');\n"
        f"log('{SECRET} of Ann Smith, a@mail.example');\n"
        "for (let i = 0; i < 100; i++) log('line');\ndata.gtmOnSuccess();"
    )

    await stage.run(code, event={"user_data": {"address": {"first_name": "Ann Smith"}}})

    lines = [one.text for one in stage.seen.notices]
    assert lines[0] == "*** of ***, ***"
    assert len(lines) == 20
    assert lines[-1] == "further lines of this run are left out"
