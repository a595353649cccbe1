"""Tag runs without an engine: pending triggers, setup and cleanup tags, and created events."""

import asyncio
from types import SimpleNamespace

import pytest
from scripted_run import Clock, Preview, Stage, a_line, a_request, template, turn, waits_for

from builders import NOW
from fakes import MovingClock, settled
from twite.domain.errors import LedgerUnavailable
from twite.gateway.ports.transport import Response
from twite.tags.container.parts import (
    Condition,
    ContainerTrigger,
    Operator,
    Variable,
    VariableSource,
)
from twite.tags.container.plan import PendingTriggers
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import TagCall
from twite.tags.template.effects import BrowserPixel, Header, RunContainer
from twite.tags.template.sandbox import RunResult

FAILED, SILENT = RunResult.FAILURE, RunResult.SILENT
BUSY = Response(status=503, headers={}, body=b"")


class PendingStage(Stage):
    """A tag with the pending trigger `gold`, which needs the variable `segment`."""

    def __init__(self, *answers, **turns):
        super().__init__(*answers, **turns)
        self.looks_up("segment")
        gold = Condition(left="{{segment}}", operator=Operator.EQUALS, right="gold")
        self.triggers = (
            ContainerTrigger(name="gold", when=(gold,)),
            ContainerTrigger(name="always"),
        )
        self.stored = []

    async def decided(self, *, last_try=True, triggers=("gold",), unless=(), made=None, **run):
        async def store():
            self.stored.append([*self.order])

        return await self.ran(
            container=made or self.container(),
            payload={"pending": PendingTriggers(triggers=triggers, unless=unless)},
            run={"last_try": last_try, "on_fired": store, **run},
        )


async def test_matching_trigger_is_stored_before_its_tag_runs():
    stage = PendingStage(segment=[turn(returned="gold")])
    ran = await stage.decided()

    assert (ran.succeeded, ran.undecided, ran.not_fired) == (True, False, None)
    assert stage.stored == [["segment"]]
    assert stage.order == ["segment", "main"]


async def test_run_without_pending_triggers_needs_no_store():
    stage = PendingStage(segment=[turn(returned="gold")])
    ran = await stage.decided(on_fired=None)

    assert (ran.succeeded, stage.order) == (True, ["segment", "main"])


@pytest.mark.parametrize(
    ("triggers", "unless", "why"),
    [
        (("gold",), (), "none of its triggers matches"),
        (("always",), ("always",), "the exception 'always' matches"),
    ],
)
async def test_tag_whose_pending_trigger_does_not_match_does_not_run(triggers, unless, why):
    stage = PendingStage(segment=[waits_for(a_request()), turn(returned="silver")])
    ran = await stage.decided(triggers=triggers, unless=unless)

    assert (ran.not_fired, ran.not_run, stage.stored) == (why, None, [])
    assert "main" not in stage.order
    assert len(ran.tried) == (triggers == ("gold",))
    assert ran.undecided is False


async def test_tag_that_may_no_longer_run_is_held():
    stage = PendingStage(segment=[turn(returned="gold")])
    ran = await stage.decided(made=stage.container(paused=True))

    assert (ran.not_run, ran.not_fired) == ("the tag does not run: it is paused", None)
    assert stage.order == []


async def test_tag_with_a_removed_trigger_is_held():
    ran = await PendingStage().decided(triggers=("platinum",))

    assert ran.not_run == "the container no longer has its trigger 'platinum'"


async def test_tag_whose_trigger_cannot_be_evaluated_is_held():
    stage = PendingStage()
    stage.variables["loop"] = Variable(name="loop", type=VariableSource.CONSTANT, value="{{loop}}")
    loop = Condition(left="{{loop}}", operator=Operator.EQUALS, right="gold")
    stage.triggers = (ContainerTrigger(name="gold", when=(loop,)),)
    ran = await stage.decided(made=stage.container())

    assert (ran.not_run or "").startswith("the tag does not run: circular dependency of variables")
    assert stage.order == []


@pytest.mark.parametrize(
    ("last_try", "answers", "undecided"),
    [(False, [BUSY], True), (True, [BUSY], False), (False, [], False)],
)
async def test_failed_lookup_leaves_the_decision_to_the_next_attempt(last_try, answers, undecided):
    stage = PendingStage(*answers, segment=[waits_for(a_request()), turn(returned="gold")])
    ran = await stage.decided(last_try=last_try)

    assert (ran.undecided, ran.succeeded) == (undecided, not undecided)
    assert (len(ran.tried), len(stage.stored)) == (1, not undecided)
    assert ran.left is False


async def test_run_that_times_out_before_its_decision_stays_undecided():
    stage = PendingStage(segment=[waits_for(wake_at=NOW + 60_000)])
    ran = await stage.ran(
        payload={"pending": PendingTriggers(triggers=("gold",))},
        run={"last_try": False},
        timeout=20,
    )

    assert (ran.undecided, stage.order) == (True, ["segment"])


async def test_tag_that_may_not_run_now_is_held():
    stage = Stage()
    ran = await stage.ran(container=stage.container(paused=True))

    assert (ran.not_run, stage.order) == ("the tag does not run: it is paused", [])


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize(
    ("setup", "why"),
    [
        (turn(), None),
        (turn(outcome=FAILED), "the setup tag 'setup' did not succeed"),
        (turn(outcome=SILENT), "the setup tag 'setup' did not succeed"),
        (turn(error="Error: no"), "Error: no"),
    ],
)
async def test_tag_runs_after_its_setup_tag_unless_it_needs_one_that_failed(setup, why, needed):
    stage = Stage(setup=[setup])
    ran = await stage.ran(container=stage.container(setup=needed))

    if needed and why:
        assert (ran.outcome, ran.error, stage.order) == (FAILED, why, ["setup"])
    else:
        assert (ran.succeeded, stage.order) == (True, ["setup", "main"])


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize(
    ("main", "succeeds"),
    [
        (turn(), True),
        (turn(outcome=FAILED), False),
        (turn(error="Error: no"), False),
    ],
)
async def test_cleanup_tag_runs_after_its_tag_unless_it_requires_success(main, succeeds, needed):
    stage = Stage(main=[main], teardown=[turn(outcome=FAILED)])
    ran = await stage.ran(container=stage.container(teardown=needed))

    assert stage.order == ["main", "teardown"][: 2 if succeeds or not needed else 1]
    assert ran.succeeded is succeeds


async def run_twice(setup, **more):
    """Run two deliveries of an event with the same setup tag."""
    stage = Stage(setup=[setup])
    made = stage.container(setup=False)
    ran = [
        await stage.ran(container=made, payload={"draw": draw})
        for draw in more.get("draws", (5, 5))
    ]
    return stage, ran


async def test_setup_tag_that_succeeded_runs_once_for_its_event():
    stage, ran = await run_twice(turn())

    assert stage.order == ["setup", "main", "main"]
    note = "the tag 'setup' had already run for this event"
    assert [each.notes for each in ran] == [(), (note,)]
    assert all(each.succeeded for each in ran)


async def test_setup_tag_runs_again_for_another_event():
    stage, _ = await run_twice(turn(), draws=(5, 6))

    assert stage.order == ["setup", "main"] * 2


@pytest.mark.parametrize(
    "setup",
    [
        turn(outcome=FAILED),
        turn(outcome=SILENT),
        turn(error="no"),
        turn(outcome=FAILED, error="no"),
        turn(listening=("ping",)),
        EngineLost("it ended", took=0.0),
    ],
)
async def test_setup_tag_that_failed_or_listens_runs_again(setup):
    stage, ran = await run_twice(setup)

    assert stage.order.count("setup") == 2
    assert ran[1].notes == ()


async def test_wait_for_a_setup_tag_of_another_delivery_does_not_count(monkeypatch):
    gate = asyncio.Event()

    async def slowly():
        await gate.wait()
        return turn()

    stage = Stage(setup=[slowly])
    made = stage.container(setup=True)
    runs = [stage.tag_run(container=made, payload={"draw": 5}) for _ in range(2)]
    first, second = [asyncio.create_task(run.run()) for run in runs]
    await settled()
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 60)
    gate.set()

    assert (await first).succeeded
    assert (await second).succeeded


async def test_response_header_set_in_the_first_turn_is_not_reported_again():
    stage = Stage(main=[waits_for(Header(name="a", value="b"), a_request()), turn()])
    await stage.ran(payload={"seed": 9})

    assert stage.said == []


async def test_response_header_set_in_a_later_turn_is_reported():
    stage = Stage(main=[waits_for(a_request()), turn(Header(name="a", value="b"))])
    await stage.ran(payload={"seed": 9})

    assert stage.said == [
        (
            "setResponseHeader was ignored: the call followed a wait for a response. "
            "Twite responded to the browser after the template's first step"
        )
    ]


async def test_each_turn_is_counted_once():
    pixel = BrowserPixel(url="https://a.example/")
    turns = [waits_for(pixel, a_request()), turn(pixel)]
    stage = Stage(main=turns)
    stage.policy = lambda _of: SimpleNamespace(pixels=(".*",), urls=(".*",), scopes=())
    await stage.ran(payload={"seed": 9})

    assert len(stage.said) == 1


async def test_value_returned_before_the_end_is_kept():
    stage = Stage(segment=[waits_for(a_request(), returned="gold"), turn(returned=None)])
    await stage.looks_up("segment").ran()

    assert [call.fields for name, call in stage.started if name == "main"] == [{"segment": "gold"}]


class CountingClock(Clock):
    looks = 0

    def elapsed(self):
        self.looks += 1
        return super().elapsed()


async def test_waiting_run_uses_no_cpu_time():
    clock = CountingClock()
    stage = Stage(clock=clock, main=[waits_for(wake_at=NOW + 30)])
    await stage.ran()

    assert clock.looks < 50


async def test_run_does_not_wait_for_a_template_that_failed():
    clock = CountingClock()
    stage = Stage(
        clock=clock,
        setup=[waits_for(a_request(), error="no")],
        main=[waits_for(wake_at=NOW + 30)],
    )
    await stage.ran(container=stage.container(setup=False))

    assert clock.looks < 100


async def test_due_timer_resumes_its_template_at_once():
    stage = Stage(clock=MovingClock(), main=[waits_for(wake_at=NOW)])

    assert (await stage.ran(timeout=900)).succeeded


class Calls:
    """The container calls of a process that runs the container."""

    def __init__(self, *, fails=False):
        self.fails = fails
        self.ended, self.forgotten = [], []

    def denied(self, _call, _payload):
        return None

    def expect(self, _call):
        return None

    async def accept(self, _event, **_origin):
        if self.fails:
            raise LedgerUnavailable(reason="the disk is full", retry_after=1)
        return SimpleNamespace(ignored=(), receipt="r-1", tags=())

    def end(self, call, tag, *, succeeded):
        self.ended.append((call, tag, succeeded))

    def forget(self, call):
        self.forgotten.append(call.tags)


def with_calls(stage, **calls):
    stage.calls = Calls(**calls)
    stage.run_context = stage.with_more(container_calls=stage.calls)
    return stage


@pytest.mark.parametrize("outcome", [RunResult.SUCCESS, FAILED])
async def test_run_of_a_created_event_reports_its_end(outcome):
    stage = with_calls(Stage(main=[turn(outcome=outcome)]))
    call = TagCall(id="c", root="r", tags=("caller",))
    await stage.ran(payload={"call": call})

    assert stage.calls.ended == [(call, "crm", outcome is RunResult.SUCCESS)]


async def test_created_event_is_counted_and_forgotten_at_the_end():
    event = RunContainer(id=1, event={"event_name": "upsell"})
    stage = with_calls(Stage(main=[turn(event)]))
    stage.see = lambda _notice: None
    stage.run_context = stage.with_more(observer=stage)
    ran = await stage.ran()

    assert ran.notes == ("runContainer created upsell, receipt r-1",)
    assert stage.calls.forgotten == [("crm",)]


async def test_effects_after_an_event_that_could_not_be_stored_are_not_performed():
    event = RunContainer(id=1, event={"event_name": "upsell"})
    stage = with_calls(Stage(main=[waits_for(a_request(), event, a_line())]), fails=True)
    lines = []
    stage.see = lines.append
    stage.run_context = stage.with_more(observer=stage)
    ran = await stage.ran()

    assert ran.error == "the event of runContainer could not be stored"
    assert [request.words for request in ran.tried] == ["{}", "the disk is full"]
    assert [line for line in lines if hasattr(line, "text")] == []


async def test_end_of_a_held_run_is_recorded_with_its_reason():
    preview, stage = Preview(), Stage()
    await stage.ran(container=stage.container(paused=True), run={"trace": preview})

    assert preview.noted[-1] == ("end", "the tag does not run: it is paused")


async def test_turn_of_a_setup_tag_is_recorded():
    preview, stage = Preview(), Stage()
    stage.templates["setup"] = template("other")
    await stage.ran(container=stage.container(setup=False), run={"trace": preview})

    assert [noted for noted in preview.noted if noted[0] == "turn"] == [
        ("turn", "other"),
        ("turn", "main"),
    ]
