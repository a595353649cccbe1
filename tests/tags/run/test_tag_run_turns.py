"""The turns of a tag run, without an engine: what resumes which template, and how the run ends."""

import asyncio
import time

import pytest
from scripted_run import (
    Clock,
    Silent,
    Stage,
    a_line,
    a_request,
    answers_of,
    template,
    turn,
    waits_for,
)

from builders import NOW
from fakes import ScriptedWeb, settled
from twite.domain.times import LATE_TIMER
from twite.gateway.ports.transport import Response
from twite.tags.ports.engines import EngineLost
from twite.tags.run.outbound import MOST_REQUESTS, TOO_MANY
from twite.tags.run.outcome import timed_out
from twite.tags.template.effects import (
    AfterEvent,
    Keep,
)
from twite.tags.template.sandbox import RunResult
from twite.tags.template.template import TemplateUnusable


async def test_run_of_one_turn_succeeds_and_is_forgotten():
    stage = Stage(main=[turn(took=0.25)])
    ran = await stage.ran()

    assert (ran.succeeded, ran.tried, ran.notes, ran.undecided) == (True, (), (), False)
    assert (stage.order, stage.ended) == (["main"], ["main"])
    assert stage.spent == [("tag:crm", 0.25)]
    assert (stage.run.burned, stage.run.spent, stage.run.lost) == (0.25, False, None)
    assert not stage.run.left


async def test_template_gets_the_event_of_the_delivery():
    stage = Stage()
    await stage.ran(event={"event_name": "x", "value": 3}, seed=9)

    [(_, call)] = stage.started
    assert (call.event, call.now, call.seed) == ({"event_name": "x", "value": 3}, NOW, 9)


async def test_responses_resume_their_template_until_it_waits_for_nothing():
    web = Response(status=204, headers={}, body=b"")
    stage = Stage(
        web, web, main=[waits_for(a_request(1), took=0.1), waits_for(a_request(2), took=0.2)]
    )
    ran = await stage.ran()

    assert ran.succeeded
    assert answers_of(stage) == [("main", [(1, 204)]), ("main", [(2, 204)])]
    assert [request.status for request in ran.tried] == [204, 204]
    assert stage.run.burned == pytest.approx(0.3)
    assert stage.run.left


async def test_last_outcome_that_a_template_reports_is_used():
    failing = waits_for(a_request(1), outcome=RunResult.FAILURE)
    silent = Stage(main=[failing, turn(outcome=RunResult.SILENT)])
    other = Stage(main=[failing, turn(outcome=RunResult.SUCCESS)])

    assert (await silent.ran()).outcome is RunResult.FAILURE
    assert (await other.ran()).outcome is RunResult.SUCCESS


async def test_template_that_reports_no_outcome_is_silent():
    ran = await Stage(main=[turn(outcome=RunResult.SILENT)]).ran()

    assert (ran.outcome, ran.error, ran.succeeded) == (RunResult.SILENT, None, False)


async def test_requests_before_an_error_are_sent_and_their_responses_ignored():
    stage = Stage(main=[waits_for(a_request(), error="Error: no", line=3)])
    stage.templates["main"] = template("main", line=10)
    ran = await stage.ran()

    assert (ran.error, len(stage.web.asked), stage.resumed) == ("Error: no (line 12)", 1, [])
    assert [request.status for request in ran.tried] == [200]


async def test_error_without_a_line_number_is_masked():
    stage = Stage(main=[turn(error="no a@mail.example")])

    assert (await stage.ran()).error == "no ***"


async def test_run_ends_at_its_timeout():
    stage = Stage(main=[waits_for(a_request())])
    stage.run_context = stage.with_web(Silent())
    ran = await stage.ran(timeout=20)

    assert (ran.error, ran.left, stage.ended) == (timed_out(20), True, ["main"])
    assert [request.words for request in ran.tried] == ["no answer in time"]
    assert not stage.run.left or ran.left


async def test_cpu_time_of_a_turn_counts_towards_the_timeout():
    stage = Stage(main=[waits_for(a_request(), took=5.0)])
    stage.run_context = stage.with_web(Silent())

    assert (await stage.ran()).error == timed_out(5_000)


async def test_delivery_whose_template_cannot_run_is_held():
    stage = Stage(main=[TemplateUnusable("", 7, "unexpected token")])
    ran = await stage.ran()

    assert ran.not_run == "the template cannot be run: line 7: unexpected token"
    assert stage.ended == []


async def test_crash_of_the_engine_ends_the_run_with_its_cpu_time():
    stage = Stage(main=[waits_for(a_request()), EngineLost("the process ended", took=1.5)])
    ran = await stage.ran()

    assert (ran.lost, ran.error, ran.left) == (True, "the process ended", True)
    assert str(stage.run.lost) == "the process ended"
    assert (stage.run.burned, stage.spent[-1]) == (1.5, ("tag:crm", 1.5))


async def test_interrupted_run_cancels_its_requests_and_is_forgotten():
    stage = Stage(main=[waits_for(a_request())])
    stage.run_context = stage.with_web(Silent())
    running = asyncio.create_task(stage.ran())
    await settled()
    assert stage.run.left
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert stage.ended == ["main"]
    assert len(asyncio.all_tasks()) == 1


async def test_timer_resumes_its_template_at_its_time():
    clock = Clock()
    stage = Stage(clock=clock, main=[waits_for(wake_at=NOW + 5)])
    ran = await stage.ran()

    [(name, answers, now)] = stage.resumed
    assert (name, answers, ran.succeeded) == ("main", (), True)
    assert NOW + 5 <= now < NOW + 60_000


async def test_due_timer_does_not_wait_for_a_request():
    stage = Stage(main=[waits_for(a_request(), wake_at=NOW - 5)])
    stage.run_context = stage.with_web(Silent())
    ran = await stage.ran(timeout=50)

    assert answers_of(stage) == [("main", [])]
    assert ran.error == timed_out(50)  # the request is still awaited


async def test_response_resumes_its_template_before_a_later_timer():
    stage = Stage(main=[waits_for(a_request(), wake_at=NOW + 60_000)])
    ran = await stage.ran()

    assert (ran.succeeded, answers_of(stage)) == (True, [("main", [(1, 200)])])


async def test_earliest_timer_of_all_templates_is_awaited():
    def listens():
        return waits_for(wake_at=NOW + 60_000)

    stage = Stage(setup=[turn(AfterEvent(id=1), waiting=())], main=[waits_for(wake_at=NOW + 2)])
    stage.turns["setup"].append(listens())
    ran = await stage.ran(container=stage.container(setup=False), timeout=300)

    # The setup tag is resumed at the end of the event, and its timer outlasts the timeout.
    assert [name for name, *_ in stage.resumed] == ["main", "setup"]
    assert ran.error == timed_out(300)


async def test_template_with_an_error_is_not_resumed_by_its_timer():
    stage = Stage(setup=[waits_for(error="no", wake_at=NOW)], main=[waits_for(wake_at=NOW + 2)])
    ran = await stage.ran(container=stage.container(setup=False))

    assert ran.succeeded
    assert [name for name, *_ in stage.resumed] == ["main"]


async def test_responses_that_arrive_together_resume_a_template_once():
    stage = Stage(main=[waits_for(*(a_request(n) for n in range(1, 7)))])
    await stage.ran()

    # In the order of the requests, as far as they are answered together.
    [(_, answers)] = answers_of(stage)
    assert answers == [(n, 200) for n in range(1, 7)]


async def test_turn_with_too_many_requests_performs_none_of_its_effects():
    many = [a_request(n) for n in range(MOST_REQUESTS + 1)]
    stage = Stage(main=[waits_for(a_line(), *many)])
    ran = await stage.ran()

    assert (ran.error, stage.web.asked, stage.said) == (TOO_MANY, [], [])


async def test_effect_without_permission_ends_the_run():
    stage = Stage(main=[turn(a_line("one"), Keep(key="a", value=1), a_line("two"))])
    grants = tuple(
        grant for grant in template("").grants if grant.permission != "access_template_storage"
    )
    stage.templates["main"] = template("main", grants=grants)
    ran = await stage.ran()

    assert ran.error == "the permission access_template_storage does not allow one of its calls"
    assert (stage.said, ran.succeeded) == (["one"], False)


async def test_time_in_a_template_begins_with_its_event():
    clock = Clock()
    clock.skipped = 100_000
    stage = Stage(clock=clock, main=[waits_for(a_request())])
    await stage.ran()

    [(_, _, now)] = stage.resumed
    assert NOW <= now < NOW + 90_000


async def test_value_of_a_variable_is_its_first_result():
    stage = Stage(
        segment=[waits_for(a_request(), returned=None), turn(returned="gold"), turn(returned="x")]
    ).looks_up("segment")
    ran = await stage.ran()

    assert ran.succeeded
    assert [call.fields for name, call in stage.started if name == "main"] == [{"segment": "gold"}]
    assert stage.order == ["segment", "main"]
    assert not ran.left


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (turn(returned=None), []),
        (
            turn(returned="gold", error="Error: no"),
            ["the variable template 'segment' failed: Error: no"],
        ),
    ],
)
async def test_variable_without_a_value_is_undefined(made, said):
    stage = Stage(segment=[made]).looks_up("segment")
    ran = await stage.ran()

    assert ran.succeeded
    assert [call.fields for name, call in stage.started if name == "main"] == [{}]
    assert stage.said == said


async def test_variable_that_exceeded_a_limit_is_not_run_again():
    stage = Stage(one=[turn(error="the run took too long", spent=True)], two=[turn(returned=2)])
    await stage.looks_up("one", "two").ran()

    assert stage.order == ["one", "two", "main"]
    assert stage.run.spent


class Stopped(ScriptedWeb):
    """The process is stopped during a request, and the response has arrived meanwhile."""

    async def ask(self, asked):
        arrived = asyncio.Event()

        def stand_still():
            time.sleep((LATE_TIMER + 100) / 1_000)
            asyncio.get_running_loop().call_later(0.02, arrived.set)

        asyncio.get_running_loop().call_soon(stand_still)
        await arrived.wait()
        return await super().ask(asked)


async def test_response_that_arrived_while_the_process_was_stopped_precedes_a_timer():
    stage = Stage(main=[waits_for(a_request(), wake_at=NOW + 50)])
    stage.run_context = stage.with_web(Stopped())
    ran = await stage.ran()

    assert (ran.succeeded, answers_of(stage)) == (True, [("main", [(1, 200)])])
