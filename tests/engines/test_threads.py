"""Templates on threads of their own: the event loop goes on, and so do the others."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from template_stage import NOW, call, template

from twite.domain.errors import TemplatePaused, TemplatesBusy
from twite.engines.quickjs.engine import QuickJsEngine
from twite.engines.quickjs.threads import TemplateThreads
from twite.gateway.ports.events import ConditionChanged, Notice
from twite.gateway.tags.runtime.probation import OFF
from twite.gateway.tags.runtime.thread_worker import BEHIND
from twite.gtm.template.sandbox import EffectAnswer, RunLimits, RunResult
from twite.testing.fakes import MovingClock


class Seen:
    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def see(self, notice: Notice) -> None:
        self.notices.append(notice)


GOOD = template("require('sendHttpGet')('https://a.example/', () => data.gtmOnSuccess());")
IN_ONE_STEP = """
if (data.hang) {
  const none = {};
  const long = 'x'.repeat(2000000);
  for (let at = 0; ; at++) none[long + at];
}
"""
HANGS = template("for (;;) {}")


async def test_a_run_goes_from_turn_to_turn_in_the_thread_of_its_template():
    threads = TemplateThreads({"good": GOOD}, clock=MovingClock())

    first = await threads.start("good", call())
    last = await threads.resume("good", first.run, (EffectAnswer(id=1, status=200),), now=NOW)

    threads.stop()
    assert (first.outcome, last.outcome) == (RunResult.SILENT, RunResult.SUCCESS)


async def test_a_run_that_was_ended_is_not_resumed():
    threads = TemplateThreads({"good": GOOD}, clock=MovingClock())
    first = await threads.start("good", call())

    await threads.end("good", first.run)

    assert (await threads.resume("good", first.run, (), now=NOW)).error is not None
    threads.stop()


async def test_a_template_that_hangs_holds_up_no_other_and_not_the_loop():
    threads = TemplateThreads(
        {"good": GOOD, "hangs": HANGS}, clock=MovingClock(), limits=RunLimits(time=0.3)
    )
    await threads.start("good", call())
    finished: list[str] = []

    async def told(name: str) -> None:
        await threads.start(name, call())
        finished.append(name)

    hanging = asyncio.create_task(told("hangs"))
    await asyncio.sleep(0)
    for _ in range(5):
        await told("good")
    await hanging

    threads.stop()
    assert finished == ["good"] * 5 + ["hangs"]


async def test_a_run_that_hangs_does_not_hold_up_those_of_its_own_template():
    either = template("if (data.hang) for (;;) {} data.gtmOnSuccess();")
    threads = TemplateThreads(
        {"either": either}, clock=MovingClock(), limits=RunLimits(time=0.3), threads=2
    )
    await asyncio.gather(*(threads.start("either", call()) for _ in range(2)))
    hanging = asyncio.create_task(threads.start("either", call(fields={"hang": True})))
    await asyncio.sleep(0)

    good = [await threads.start("either", call()) for _ in range(5)]

    assert not hanging.done()
    assert {turn.outcome for turn in good} == {RunResult.SUCCESS}
    assert (await hanging).spent
    threads.stop()


async def test_runs_in_different_threads_have_different_numbers_and_each_gets_its_own_answer():
    echoes = template(
        "require('sendHttpGet')('https://a.example/', (status) =>"
        " data.at === status ? data.gtmOnSuccess() : data.gtmOnFailure());"
    )
    threads = TemplateThreads({"echoes": echoes}, clock=MovingClock(), threads=3)
    calls = [call(fields={"at": at}) for at in range(9)]

    turns = await asyncio.gather(*(threads.start("echoes", code) for code in calls))
    told = [
        await threads.resume("echoes", turn.run, (EffectAnswer(id=1, status=at),), now=NOW)
        for at, turn in enumerate(turns)
    ]

    threads.stop()
    assert len({turn.run for turn in turns}) == 9
    assert {turn.outcome for turn in told} == {RunResult.SUCCESS}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no rank of its own")
async def test_a_thread_whose_run_passed_a_limit_comes_behind_all_others():
    either = template("if (data.hang) for (;;) {} data.gtmOnSuccess();")
    clock = MovingClock()
    threads = TemplateThreads(
        {"either": either}, clock=clock, limits=RunLimits(time=0.1), threads=1
    )

    def ranks() -> dict[str, int]:
        own = Path("/proc/self/task").iterdir()
        return {thread.name: os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in own}

    await threads.start("either", call())
    before = ranks()
    await threads.start("either", call(fields={"hang": True}))
    await clock.advance(60_000)
    after = await threads.start("either", call())

    assert {rank for thread, rank in ranks().items() if rank != before.get(thread, 0)} == {BEHIND}
    assert after.outcome == RunResult.SUCCESS
    threads.stop()


async def test_more_runs_than_may_wait_are_refused_and_the_next_ones_are_taken_again():
    clock = MovingClock()
    threads = TemplateThreads({"hangs": HANGS}, clock=clock, limits=RunLimits(time=0.1), waiting=2)
    runs = [asyncio.create_task(threads.start("hangs", call())) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(TemplatesBusy):
        await threads.start("hangs", call())

    ended = await asyncio.gather(*runs)
    await clock.advance(60_000)
    again = await threads.start("hangs", call())
    threads.stop()
    assert {turn.error for turn in (*ended, again)} == {"the run took too much time"}


async def test_whoever_passed_a_limit_is_refused_by_name_until_it_has_rested_and_no_other_is():
    clock = MovingClock()
    threads = TemplateThreads(
        {"good": GOOD, "hangs": HANGS}, clock=clock, limits=RunLimits(time=0.1)
    )
    await threads.start("hangs", call())

    with pytest.raises(TemplatePaused, match="hangs"):
        await threads.start("hangs", call())
    other = await threads.start("good", call())
    await clock.advance(60_000)
    rested = await threads.start("hangs", call())

    threads.stop()
    assert other.error is None
    assert rested.spent


async def test_what_waits_for_a_thread_when_its_template_goes_on_trial_is_refused_too():
    threads = TemplateThreads(
        {"hangs": HANGS}, clock=MovingClock(), limits=RunLimits(time=0.1), threads=1
    )

    ended = await asyncio.gather(
        *(threads.start("hangs", call()) for _ in range(5)), return_exceptions=True
    )

    threads.stop()
    assert [isinstance(result, TemplatePaused) for result in ended] == [
        False,
        True,
        True,
        True,
        True,
    ]


async def test_what_would_go_on_with_a_run_waits_until_its_template_has_rested():
    either = template(
        "if (data.hang) for (;;) {}"
        "require('sendHttpGet')('https://a.example/', () => data.gtmOnSuccess());"
    )
    clock = MovingClock()
    threads = TemplateThreads(
        {"either": either}, clock=clock, limits=RunLimits(time=0.1), threads=1
    )
    first = await threads.start("either", call())
    await threads.start("either", call(fields={"hang": True}))

    resumed = asyncio.create_task(threads.resume("either", first.run, (), now=NOW))
    early, _ = await asyncio.wait({resumed}, timeout=0.1)
    await clock.advance(60_000)
    turn = await resumed

    threads.stop()
    assert early == set()
    assert turn.error is not None  # it was lost with the context that it waited in


async def test_a_run_that_no_limit_ends_costs_its_thread_and_the_template_a_rest():
    either = template(IN_ONE_STEP + "data.gtmOnSuccess();")
    clock = MovingClock()
    threads = TemplateThreads(
        {"either": either}, clock=clock, limits=RunLimits(time=0.05), threads=1
    )
    before = await threads.start("either", call())

    hung = await threads.start("either", call(fields={"hang": True}))
    with pytest.raises(TemplatePaused):
        await threads.start("either", call())
    await clock.advance(60_000)
    after = await threads.start("either", call())

    threads.stop()
    assert (hung.spent, hung.done) == (True, True)
    assert "no limit could end a run" in str(hung.error)
    assert after.outcome == RunResult.SUCCESS
    assert after.run > before.run + 1


async def test_code_that_catches_its_own_end_for_want_of_memory_is_ended_all_the_same():
    """The error that ends it takes memory, and without any becomes one that can be caught."""
    full = template(
        """
        const held = [];
        for (const size of [100000, 1000, 100, 30]) {
          try { for (;;) held.push('x'.repeat(size)); } catch (error) {}
        }
        try { for (;;) held.push({}); } catch (error) {}
        for (let n = 0; ; ) {
          try { for (;;) n++; } catch (error) {}
        }
        """
    )
    threads = TemplateThreads({"full": full}, clock=MovingClock(), limits=RunLimits(time=0.2))

    turn = await threads.start("full", call())

    threads.stop()
    assert (turn.spent, turn.error) == (True, "the run took too much time")


def test_what_relieved_one_turn_is_taken_back_before_the_next():
    engine = QuickJsEngine(
        template("const held = []; for (let n = 0; n < data.n; n++) held.push('x'.repeat(1e6));")
    )

    engine.relieve()

    ended = [engine.start(call(fields={"n": n})).error for n in (10, 20)]
    assert ended == [None, "the run took too much memory"]


async def test_the_second_time_it_is_switched_off_and_no_other_is():
    either = template(IN_ONE_STEP + "data.gtmOnSuccess();")
    clock = MovingClock()
    seen = Seen()
    threads = TemplateThreads(
        {"either": either, "good": GOOD}, clock=clock, limits=RunLimits(time=0.05), observer=seen
    )
    for _ in range(2):
        await threads.start("either", call(fields={"hang": True}))
        await clock.advance(60_000)

    with pytest.raises(TemplatePaused) as caught:
        await threads.start("either", call())

    other = await threads.start("good", call())
    threads.stop()
    assert caught.value.retry_after == OFF // 1_000
    assert other.error is None
    reasons = [notice.reason for notice in seen.notices if isinstance(notice, ConditionChanged)]
    assert ["switched off" in reason for reason in reasons] == [False, True]


async def test_what_waits_for_a_thread_that_hangs_has_the_next_one():
    either = template(IN_ONE_STEP + "data.gtmOnSuccess();")
    threads = TemplateThreads(
        {"either": either}, clock=MovingClock(), limits=RunLimits(time=0.05), threads=1
    )
    hanging = asyncio.create_task(threads.start("either", call(fields={"hang": True})))
    await asyncio.sleep(0)

    waiting = asyncio.create_task(threads.end("either", 7))
    await asyncio.gather(hanging, waiting)

    threads.stop()


async def test_an_output_that_is_too_large_ends_the_run_and_no_trial_begins():
    """Who may post a megabyte would else decide when the template runs."""
    large = template("require('logToConsole')('x'.repeat(data.size)); data.gtmOnSuccess();")
    threads = TemplateThreads(
        {"large": large}, clock=MovingClock(), limits=RunLimits(output=100_000)
    )

    ended = await threads.start("large", call(fields={"size": 200_000}))
    after = await threads.start("large", call(fields={"size": 1}))

    threads.stop()
    assert (ended.error, ended.effects) == ("more than 100000 characters of effects", ())
    assert not ended.spent
    assert after.outcome == RunResult.SUCCESS
