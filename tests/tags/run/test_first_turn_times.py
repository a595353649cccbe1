"""First turns without an engine: how long the response waits, and which turns begin."""

import asyncio
import gc
import weakref

import pytest
from first_turn_stage import FirstStage, a_cookie
from msgspec import structs
from scripted_run import turn

from fakes import settled
from twite.tags.container.parts import ContainerTag
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.first_turn import (
    WITHIN,
    FirstTurns,
    prepare_first_turns,
)


@pytest.mark.parametrize(("within", "result"), [(0, "skipped"), (1_000, "in_time")])
async def test_first_turn_is_skipped_if_it_has_no_time(within, result):
    stage = FirstStage(within=within)
    await stage.cookies()

    assert (stage.results, len(stage.started)) == ([result], result == "in_time")


async def test_duration_of_first_turns_is_measured():
    assert WITHIN == 50
    assert FirstTurns(None, storage=None, observer=None).within == WITHIN


async def test_late_turn_adds_nothing_and_delays_the_next_turn_of_its_tag(monkeypatch):
    go = asyncio.Event()

    async def slowly():
        await go.wait()
        return turn(a_cookie())

    stage = FirstStage(main=[slowly, slowly])
    both = await both_late(stage, monkeypatch)
    third = await stage.cookies()
    late = list(stage.first.late["tag:crm"])
    go.set()
    await asyncio.gather(*late)
    await settled()

    assert ([*both, third], len(late)) == ([None] * 3, 2)
    assert stage.results == ["late", "late", "skipped"]
    assert stage.first.late == {}
    assert await stage.cookies() == []


async def test_turn_that_still_waits_for_its_process_is_skipped():
    stage = FirstStage(within=10, main=[turn(a_cookie())])
    stage.gate.clear()
    found = await stage.cookies()
    [left] = stage.first.late["tag:crm"]
    stage.gate.set()
    await left

    # It does not begin after its time.
    assert (found, stage.results, stage.started) == (None, ["skipped"], [])
    assert stage.trials.rest("tag crm") is None


async def test_tag_on_probation_has_no_first_turn():
    stage = FirstStage()
    stage.trials.lose("tag crm", EngineLost("it ended", took=0.1))

    assert await stage.cookies() is None
    assert (stage.results, stage.started) == (["skipped"], [])


@pytest.mark.parametrize("began", [True, False])
async def test_tag_that_used_up_its_cpu_time_has_no_first_turn(began):
    stage = FirstStage(main=[turn(took=0.3)])
    if began:
        await stage.cookies()
        stage.results.clear()
    else:
        stage.trials.charge("tag crm, first turn", 0.3)

    assert await stage.cookies() is None
    assert stage.results[-1] == "skipped"


async def test_all_turns_count_towards_the_cpu_time_of_a_tag():
    stage = FirstStage(setup=[turn(took=0.15)], main=[turn(took=0.15)])
    made = stage.container(setup=False)
    await stage.cookies(container=made)

    assert await stage.cookies(container=made) is None


@pytest.mark.parametrize("kind", ["first", "second"])
async def test_crash_of_the_engine_fails_the_turn_and_starts_probation(kind):
    lost = EngineLost("its engine process ended", took=0.1)
    stage = FirstStage(setup=[lost if kind == "first" else turn()], main=[lost])

    assert await stage.cookies(container=stage.container(setup=False)) is None
    assert stage.results == ["failed"]
    assert stage.problems == [
        ("tag crm", "its engine process ended: Twite now pauses the template after each run")
    ]


async def test_turn_that_exceeds_a_limit_adds_nothing_and_starts_probation():
    stage = FirstStage(main=[turn(a_cookie(), error="the run took too long", spent=True)])

    assert await stage.cookies() is None
    assert stage.results == ["failed"]
    assert stage.trials.rest("tag crm") is not None


async def test_first_turns_do_not_end_a_probation():
    stage = FirstStage()
    ends = []
    stage.trials.end = lambda whose, **more: ends.append((whose, more))
    await stage.cookies()

    assert ends == [("tag crm", {"took": 0.0, "spent": False, "done": False})]


async def test_probation_begins_once_for_all_turns_of_a_tag():
    stage = FirstStage(setup=[turn()], main=[turn()])
    begun = []
    begin = stage.trials.begin
    stage.trials.begin = lambda whose: begun.append(whose) or begin(whose)
    await stage.cookies(container=stage.container(setup=False))

    assert begun == ["tag crm"]


class Clock:
    """The event loop's clock, which a test moves; `waits` and `sleeps` are what code waited."""

    def __init__(self, monkeypatch):
        loop = asyncio.get_running_loop()
        time, wait, sleep = loop.time, asyncio.wait, asyncio.sleep
        self.skipped, self.waits, self.sleeps = 0.0, [], []

        async def noted_wait(tasks, *, timeout):  # noqa: ASYNC109 - as in asyncio
            self.waits.append(timeout)
            return await wait(tasks, timeout=timeout)

        async def noted_sleep(seconds):
            self.sleeps.append(seconds)
            await sleep(seconds)

        monkeypatch.setattr(loop, "time", lambda: time() + self.skipped)
        monkeypatch.setattr(asyncio, "wait", noted_wait)
        monkeypatch.setattr(asyncio, "sleep", noted_sleep)
        self.errors = []
        loop.set_exception_handler(lambda _loop, context: self.errors.append(context))


async def later(times):
    for _ in range(times):
        await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, int), 5)


async def both_late(stage, monkeypatch):
    """Begin two first turns, and let their time pass."""
    clock = Clock(monkeypatch)
    both = [asyncio.create_task(stage.cookies()) for _ in range(2)]
    await settled()
    clock.skipped = 60.0
    return await asyncio.gather(*both)


async def test_response_does_not_wait_longer_than_the_first_turn(monkeypatch):
    async def slowly():
        await later(3)
        return turn(a_cookie())

    clock, stage = Clock(monkeypatch), FirstStage(main=[slowly])

    assert await stage.cookies() == ["a"]
    assert (clock.sleeps, clock.errors) == ([], [])
    first, second = clock.waits
    assert 19 < first <= 20
    assert second == 5


async def test_turn_that_begins_late_has_only_the_remaining_time(monkeypatch):
    clock = Clock(monkeypatch)
    stage = FirstStage(within=1_000, main=[turn(a_cookie())])
    stage.gate.clear()
    running = asyncio.create_task(stage.cookies())
    await settled()
    clock.skipped = 3.5
    stage.gate.set()

    assert await running == ["a"]
    _, left = clock.waits
    assert 0 < left <= 0.5


async def test_result_that_arrived_while_the_event_loop_was_busy_is_used(monkeypatch):
    clock, arrived = Clock(monkeypatch), asyncio.Event()

    async def arrives():
        await arrived.wait()
        return turn(a_cookie())

    stage = FirstStage(within=1_000, main=[arrives])
    running = asyncio.create_task(stage.cookies())
    await settled()
    clock.sleeps.clear()
    clock.skipped = 60.0
    asyncio.get_running_loop().call_later(0, arrived.set)

    assert await running == ["a"]
    assert {*clock.sleeps} == {0}
    assert clock.errors == []


async def test_tag_is_skipped_until_all_its_late_turns_have_ended(monkeypatch):
    gates = [asyncio.Event(), asyncio.Event()]

    def held(gate):
        async def made():
            await gate.wait()
            return turn(a_cookie())

        return made

    stage = FirstStage(main=[held(gate) for gate in gates])
    await both_late(stage, monkeypatch)
    clock = Clock(monkeypatch)
    gates[0].set()
    await settled()
    skipped = await stage.cookies()
    gates[1].set()
    await settled()

    assert (skipped, await stage.cookies()) == (None, [])
    assert stage.results == ["late", "late", "skipped", "in_time"]
    assert clock.errors == []


async def test_lost_turn_does_not_end_another_turn_in_progress():
    go = asyncio.Event()

    async def lost():
        return EngineLost("it ended", took=0.1)

    async def slowly():
        await go.wait()
        return turn(a_cookie())

    stage = FirstStage(main=[slowly, lost])
    running = asyncio.create_task(stage.cookies())
    await settled()
    await stage.cookies()
    stage.clock.skipped += 600_000

    # A template on probation has one turn at a time.
    assert stage.trials.begin("tag crm") > 0
    go.set()
    await running
    assert stage.trials.begin("tag crm") == 0


async def test_ended_first_turn_is_not_kept_in_memory():
    tasks = []

    async def made():
        tasks.append(weakref.ref(asyncio.current_task()))
        return turn(a_cookie())

    await FirstStage(main=[made]).cookies()
    stage = FirstStage(main=[made])
    await stage.cookies()
    gc.collect()

    assert [task() for task in tasks] == [None, None]


async def test_requests_precede_the_loading_of_templates(monkeypatch):
    clock, stage, order = Clock(monkeypatch), FirstStage(), []

    def prepare(tag, *_templates, **_more):
        order.append(tag)
        asyncio.get_running_loop().call_soon(order.append, "a request")

    stage.prepare = prepare
    tags = tuple(ContainerTag(name=name, template="main") for name in ("a", "b"))
    container = structs.replace(stage.container(), tags=tags)
    rules = {name: TagRule(name=name) for name in ("a", "b")}
    await prepare_first_turns(stage, [ContainerConfig(container=container, rules=rules)])

    assert order == ["tag:a", "a request", "tag:b", "a request"]
    assert clock.sleeps == [0, 0]
