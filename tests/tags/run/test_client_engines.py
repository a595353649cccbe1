"""Client templates in separate processes do not block the event loop or each other."""

import asyncio

import msgspec
import pytest
from crashing_engines import CRASHED, CrashingEngines

from builders import NOW
from fakes import MovingClock
from twite.domain.alert import AlertKind
from twite.domain.errors import TemplatePaused, TemplatesBusy
from twite.gateway.ports.events import ConditionChanged
from twite.tags.runtime.client_engines import ClientEngines
from twite.tags.template.permissions import Grant
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits, RunResult
from twite.tags.template.template import Template, TemplateKind, TemplatePart

SENDS = "require('sendHttpGet')('https://a.example/', (status) => %s);"
ECHOES = SENDS % "data.at === status ? data.gtmOnSuccess() : data.gtmOnFailure()"
GOOD = SENDS % "data.gtmOnSuccess()"
HANGS = "if (data.hang) for (;;) {} "
HANG = {"hang": True}
ANSWER = (EffectAnswer(id=1, status=200),)


def template(code):
    return Template(
        kind=TemplateKind.CLIENT,
        id="",
        name="Test",
        description="",
        fields=(),
        code=TemplatePart(text=code, line=1),
        grants=(
            Grant(permission="send_http", parameters={"allowedUrls": "any"}),
            Grant(permission="logging", parameters={"environments": "all"}),
        ),
        tests=None,
        notes="",
    )


def call(**fields):
    return Call(fields=fields, now=NOW)


class Stage:
    def __init__(self):
        self.clock = MovingClock()
        self.notices = []
        self.made = []

    def see(self, notice):
        self.notices.append(notice)

    def engines(self, *, time=0.1, limits=None, **codes):
        said = {name: codes.pop(name) for name in ("processes", "waiting") if name in codes}
        self.made.append(
            ClientEngines(
                {name: template(code) for name, code in codes.items()},
                engines=CrashingEngines(lambda call: call.fields.get("crash")),
                clock=self.clock,
                observer=self,
                limits=limits or RunLimits(time=time),
                **said,
            )
        )
        return self.made[-1]


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    for engines in stage.made:
        await engines.stop()


async def test_run_of_a_client_continues_over_several_turns(stage):
    engines = stage.engines(good=GOOD)

    first = await engines.start("good", call())
    last = await engines.resume("good", first.run, ANSWER, now=NOW)

    assert (first.outcome, last.outcome) == (RunResult.SILENT, RunResult.SUCCESS)


async def test_run_that_has_ended_is_not_resumed(stage):
    engines = stage.engines(good=GOOD)
    first = await engines.start("good", call())

    await engines.end("good", first.run)

    assert (await engines.resume("good", first.run, (), now=NOW)).error is not None


@pytest.mark.parametrize("other", ["good", "either"])
async def test_run_that_hangs_blocks_no_other_run_and_not_the_event_loop(stage, other):
    engines = stage.engines(good=GOOD, either=HANGS + GOOD, time=1.0)
    await asyncio.gather(*(engines.start(name, call()) for name in ("good", "either", "either")))
    hanging = asyncio.create_task(engines.start("either", call(**HANG)))
    await asyncio.sleep(0)

    for _ in range(5):
        await engines.start(other, call())

    assert not hanging.done()
    assert (await hanging).spent


async def test_runs_in_different_processes_have_unique_ids_and_their_own_responses(stage):
    engines = stage.engines(echoes=ECHOES, processes=3)

    turns = await asyncio.gather(*(engines.start("echoes", call(at=at)) for at in range(9)))
    reported = [
        await engines.resume("echoes", turn.run, (EffectAnswer(id=1, status=at),), now=NOW)
        for at, turn in enumerate(turns)
    ]

    assert len({turn.run for turn in turns}) == 9
    assert {turn.outcome for turn in reported} == {RunResult.SUCCESS}


async def test_runs_above_the_queue_limit_are_refused(stage):
    engines = stage.engines(hangs=HANGS, waiting=2)
    runs = [asyncio.create_task(engines.start("hangs", call(**HANG))) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(TemplatesBusy):
        await engines.start("hangs", call())

    ended = await asyncio.gather(*runs)
    await stage.clock.advance(60_000)
    again = await engines.start("hangs", call(**HANG))
    errors = {f"{turn.error}".partition(". ")[0] for turn in (*ended, again)}
    assert errors == {"the run took too much time"}


async def test_template_over_a_limit_is_refused_until_its_pause_ends(stage):
    engines = stage.engines(good=GOOD, hangs=HANGS)
    await engines.start("hangs", call(**HANG))

    with pytest.raises(TemplatePaused, match="hangs"):
        await engines.start("hangs", call())
    other = await engines.start("good", call())
    await stage.clock.advance(60_000)
    rested = await engines.start("hangs", call(**HANG))

    assert other.error is None
    assert rested.spent


async def test_queued_runs_are_refused_when_their_template_is_paused(stage):
    engines = stage.engines(hangs=HANGS, processes=1)

    ended = await asyncio.gather(
        *(engines.start("hangs", call(**HANG)) for _ in range(5)), return_exceptions=True
    )

    assert [isinstance(result, TemplatePaused) for result in ended] == [False] + [True] * 4


async def test_resumed_run_waits_until_the_pause_of_its_template_ends(stage):
    engines = stage.engines(either=HANGS + GOOD, processes=1)
    first = await engines.start("either", call())
    await engines.start("either", call(**HANG))

    resumed = asyncio.create_task(engines.resume("either", first.run, ANSWER, now=NOW))
    early, _ = await asyncio.wait({resumed}, timeout=0.1)
    await stage.clock.advance(60_000)

    assert early == set()
    assert (await resumed).outcome is RunResult.SUCCESS  # another run's limit does not apply to it


async def test_run_that_crashes_ends_its_process_and_pauses_the_template(stage):
    engines = stage.engines(either=GOOD, processes=1)
    before = await engines.start("either", call())

    crashed = await engines.start("either", call(crash=True))
    with pytest.raises(TemplatePaused):
        await engines.start("either", call())
    await stage.clock.advance(60_000)
    after = await engines.start("either", call())

    assert (crashed.spent, crashed.done) == (True, True)
    assert CRASHED in str(crashed.error)
    assert after.error is None
    assert after.run > before.run
    assert [
        (notice.kind, notice.subject)
        for notice in stage.notices
        if isinstance(notice, ConditionChanged)
    ] == [(AlertKind.TEMPLATE_HUNG, "client either")]


async def test_template_cannot_catch_an_out_of_memory_error(stage):
    """The error that ends a run needs memory.

    If none is left, it becomes an error that code can catch.
    """
    full = """
    const held = [];
    for (const size of [100000, 1000, 100, 30]) {
      try { for (;;) held.push('x'.repeat(size)); } catch (error) {}
    }
    try { for (;;) held.push({}); } catch (error) {}
    for (let n = 0; ; ) {
      try { for (;;) n++; } catch (error) {}
    }
    """
    engines = stage.engines(full=full)

    turn = await engines.start("full", call())

    assert turn.spent


async def test_output_over_the_limit_ends_the_run_without_probation(stage):
    """A client that sends a large body must not decide when the template may run."""
    large = "require('logToConsole')('x'.repeat(data.size)); data.gtmOnSuccess();"
    engines = stage.engines(
        large=large, limits=msgspec.structs.replace(RunLimits(), output=100_000)
    )

    ended = await engines.start("large", call(size=200_000))
    after = await engines.start("large", call(size=1))

    assert ended.error is not None
    assert ended.error.startswith("more than 100000 characters of effects. ")
    assert ended.effects == ()
    assert not ended.spent
    assert after.outcome == RunResult.SUCCESS
