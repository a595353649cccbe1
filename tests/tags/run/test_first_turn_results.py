"""First turns without an engine: what they add to the response, and what the response waits for."""

import asyncio

import pytest
from first_turn_stage import FAILED, SILENT, FirstStage, a_cookie
from msgspec import structs
from scripted_run import Preview, a_line, a_request, template, turn, waits_for

from builders import NOW
from twite.gateway.ports.request_watch import set_watch
from twite.tags.container.parts import ContainerTag, SequencedTag
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.first_turn import (
    after_first_turn,
    prepare_first_turns,
)
from twite.tags.run.payload import TagPayload, cookie_mark
from twite.tags.template.effects import AfterEvent, BrowserPixel, Header
from twite.tags.template.permissions import Grant
from twite.tags.template.sandbox import RunResult
from twite.tags.template.tag_response import TagResponse
from twite.tags.template.template import TemplateUnusable


async def test_cookies_of_a_first_turn_are_added_to_the_response():
    stage = FirstStage(main=[turn(a_cookie(), took=0.1)])

    assert await stage.cookies() == ["a"]
    assert (stage.results, stage.ended, stage.resumed) == (["in_time"], [], [])
    [(_, call)] = stage.started
    assert (call.seed, call.now, call.event) == (7, NOW, {"event_name": "x"})


async def test_each_tag_of_a_request_has_its_own_first_turn():
    stage = FirstStage(main=[turn(a_cookie("a")), turn(error="no"), turn(a_cookie("b"))])
    responses = await stage.first.run_all({n: stage.given() for n in (3, 4, 5)})

    assert {index: len(found.cookies) for index, found in responses.items()} == {3: 1, 4: 0, 5: 1}
    assert responses[3].tag == "tag:crm"
    assert stage.results == ["in_time"] * 3


async def test_effect_without_permission_is_not_added_to_the_response():
    stage = FirstStage(main=[turn(a_cookie(), Header(name="x-a", value="b"))])
    stage.policy = super(FirstStage, stage).policy
    responses = await stage.first.run_all({0: stage.given()})

    assert (responses[0].cookies, [header.name for header in responses[0].headers]) == (
        (), ["x-a"],
    )  # fmt: skip


async def test_template_that_cannot_run_is_reported_by_its_delivery_only():
    stage = FirstStage(main=[TemplateUnusable("", 1, "no")])

    assert await stage.cookies() is None
    assert (stage.results, stage.problems) == (["failed"], [])


async def test_internal_error_in_a_first_turn_is_reported_and_the_event_stored():
    stage = FirstStage(main=[ZeroDivisionError()])

    assert await stage.cookies() is None
    assert (stage.results, stage.problems) == (["failed"], [("tag", "ZeroDivisionError")])


async def test_cancelled_first_turn_adds_nothing():
    stage = FirstStage(main=[turn(a_cookie())])

    async def cancelled():
        raise asyncio.CancelledError

    stage.turns["main"] = [cancelled]
    assert await stage.cookies() is None
    assert stage.results == ["failed"]


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize(
    ("setup", "goes_on"),
    [
        (turn(a_cookie("s")), True),
        (turn(a_cookie("s"), outcome=FAILED), False),
        (turn(a_cookie("s"), outcome=SILENT), False),
        (turn(a_cookie("s"), error="no"), False),
    ],
)
async def test_tag_runs_after_its_setup_tag_unless_it_needs_one_that_failed(setup, goes_on, needed):
    stage = FirstStage(setup=[setup], main=[turn(a_cookie("m"))])
    found = await stage.cookies(container=stage.container(setup=needed))

    assert found == (["s", "m"] if goes_on or not needed else ["s"])


@pytest.mark.parametrize("needed", [True, False])
async def test_tag_does_not_run_before_its_setup_tag_has_ended(needed):
    stage = FirstStage(setup=[waits_for(a_cookie("s"), a_request(), outcome=RunResult.SUCCESS)])
    stage.turns["main"] = [turn(a_cookie("m"))]

    assert await stage.cookies(container=stage.container(setup=needed)) == ["s"]
    assert (stage.order, stage.ended) == (["setup"], ["setup"])


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize(
    ("main", "ended", "succeeded"),
    [
        (turn(a_cookie("m")), True, True),
        (turn(a_cookie("m"), outcome=FAILED), True, False),
        (turn(a_cookie("m"), error="no"), True, False),
        (waits_for(a_cookie("m"), a_request(), outcome=RunResult.SUCCESS), False, True),
        (waits_for(a_cookie("m"), wake_at=NOW + 5, outcome=RunResult.SUCCESS), False, True),
        (waits_for(a_cookie("m"), AfterEvent(id=1), outcome=RunResult.SUCCESS), True, True),
        (
            waits_for(a_cookie("m"), AfterEvent(id=1), wake_at=NOW + 5, outcome=RunResult.SUCCESS),
            False,
            True,
        ),
    ],
)
async def test_cleanup_tag_runs_after_a_tag_that_has_ended(main, ended, succeeded, needed):
    stage = FirstStage(main=[main], teardown=[turn(a_cookie("t"))])
    found = await stage.cookies(container=stage.container(teardown=needed))

    assert found == (["m", "t"] if ended and (succeeded or not needed) else ["m"])


async def test_tags_that_wait_or_listen_are_ended_after_the_first_turn():
    stage = FirstStage(setup=[turn(listening=("ping",))], main=[waits_for(a_request())])
    await stage.cookies(container=stage.container(setup=False))

    assert stage.ended == ["setup", "main"]
    assert [sorted(call.listened) for _, call in stage.started] == [[], ["ping"]]


@pytest.mark.parametrize(
    ("outcome", "error", "status"),
    [
        (RunResult.SUCCESS, None, "success"),
        (FAILED, None, "failure"),
        (SILENT, None, None),
        (RunResult.SUCCESS, "no", None),
    ],
)
async def test_event_callbacks_run_if_the_tag_reported_its_outcome(outcome, error, status):
    first = waits_for(AfterEvent(id=5), AfterEvent(id=6), outcome=outcome, error=error, took=0.1)
    stage = FirstStage(main=[first, turn(a_cookie(), took=0.2)])
    found = await stage.cookies()

    assert found == ([] if status is None else ["a"])
    if status is not None:
        [(name, answers, now)] = stage.resumed
        assert (name, [answer.id for answer in answers], now) == ("main", [5, 6], NOW)
        tag = {"id": "crm", "status": status, "executionTime": 0}
        assert [(answer.phase, answer.value) for answer in answers] == [
            ("complete", {"tags": [tag]})
        ] * 2
        assert stage.ended == []
        assert not stage.trials.has_cpu_time("tag crm, first turn")  # 0.3 s of 0.25 s


async def test_first_turn_without_event_callbacks_has_one_step():
    stage = FirstStage(main=[turn(a_cookie())])
    await stage.cookies()

    assert stage.resumed == []


async def test_event_callbacks_wait_for_the_cleanup_tag():
    stage = FirstStage(
        main=[waits_for(AfterEvent(id=5), outcome=RunResult.SUCCESS)],
        teardown=[waits_for(a_request())],
    )
    await stage.cookies(container=stage.container(teardown=False))

    assert (stage.resumed, stage.ended) == ([], ["teardown", "main"])


async def test_setup_tag_that_waits_for_its_cleanup_tag_has_not_ended():
    stage = FirstStage(setup=[turn(a_cookie("s"))], main=[turn(a_cookie("m"))])
    made = stage.container(setup=False)
    stage.templates["late"] = template("late")
    stage.turns["late"] = [waits_for(a_request())]
    setup = ContainerTag(
        name="setup", template="setup", teardown=made.tags[0].setup.__class__(tag="late")
    )
    tags = (made.tags[0], setup, ContainerTag(name="late", template="late"))
    made = made.__class__(tags=tags, templates=stage.templates)

    assert await stage.cookies(container=made) == ["s"]
    assert stage.order == ["setup", "late"]


async def test_tag_that_may_not_run_adds_nothing():
    stage = FirstStage()

    assert await stage.cookies(container=stage.container(paused=True)) is None
    assert (stage.results, stage.started, stage.problems) == (["failed"], [], [])


async def test_first_turn_uses_the_value_of_a_variable():
    stage = FirstStage(segment=[turn(returned="gold")], main=[turn(a_cookie())])
    stage.looks_up("segment")

    assert await stage.cookies() == ["a"]
    assert stage.started[-1][1].fields == {"segment": "gold"}
    assert stage.ended == []


async def test_tag_whose_variable_needs_a_response_runs_later():
    stage = FirstStage(segment=[waits_for(a_request())])
    stage.looks_up("segment")

    assert await stage.cookies() is None
    assert (stage.order, stage.ended, stage.results) == (["segment"], ["segment"], ["failed"])


async def test_variable_that_listens_is_ended_after_the_first_turn():
    stage = FirstStage(segment=[turn(returned=1, listening=("ping",))])
    await stage.looks_up("segment").cookies()

    assert (stage.order, stage.ended) == (["segment", "main"], ["segment"])


class PreviewOfTurns(Preview):
    is_active = True

    def effects(self, effects):
        self.noted.append(("effects", [type(effect).__name__ for effect in effects]))


async def test_preview_records_a_first_turn():
    preview = PreviewOfTurns()
    stage = FirstStage(
        main=[
            turn(a_cookie(), Header(name="x-a", value="b"), BrowserPixel(url="https://a.example/")),
            TemplateUnusable("", 1, "no"),
        ]
    )
    set_watch(preview)
    try:
        await stage.first.run_all({0: stage.given(pixels=True)})
        await stage.first.run_all({0: stage.given()})
    finally:
        set_watch(None)

    [run, first, second, end, *failed] = preview.noted
    assert (run, end) == (("run", "crm, before the response", ["main"]), ("end", "in time"))
    assert first == ("effects", ["SetCookie", "Header"])
    assert second[0] == "effects"
    assert failed == [("run", "crm, before the response", ["main"]), ("end", "failed")]


def test_run_of_the_delivery_repeats_the_first_turn():
    stage = FirstStage()
    payload = TagPayload(pixel="o8z6j", at=NOW)
    response = TagResponse(tag="tag:crm", cookies=(a_cookie("a"), a_cookie("b")))

    for pixels in (True, False):
        after = after_first_turn(payload, stage.given(pixels=pixels), response)
        assert (after.seed, after.pixels) == (7, pixels)
        assert after.cookies == tuple(cookie_mark(a_cookie(name)) for name in "ab")


@pytest.mark.parametrize("responds", [True, False])
async def test_templates_with_first_turns_are_loaded_before_the_first_request(responds):
    stage = FirstStage(main=[a_line()]).looks_up("segment")
    grants = template("").grants if responds else (Grant(permission="logging"),)
    stage.templates["main"] = template("main", grants=grants)
    container = stage.container()
    bare = ContainerTag(name="bare", template="main")
    configs = [
        ContainerConfig(
            container=container.__class__(
                tags=(bare, *container.tags),
                variables=container.variables,
                templates=container.templates,
            ),
            rules={"crm": TagRule(name="crm")},
        )
    ]
    await prepare_first_turns(stage, configs)

    assert stage.prepared == ([("tag:crm", ["main", "segment"], [])] if responds else [])


async def test_tag_runs_without_a_setup_tag_that_it_does_not_require():
    stage = FirstStage(setup=[turn(a_cookie("s"), outcome=FAILED)], main=[turn(a_cookie("m"))])
    made = stage.container(setup=True)
    between = structs.replace(made.tags[0], name="between")
    main = structs.replace(made.tags[0], setup=SequencedTag(tag="between", needed=False))
    made = structs.replace(made, tags=(main, between, *made.tags[1:]))

    assert await stage.cookies(container=made) == ["s", "m"]
    assert stage.order == ["setup", "main"]
