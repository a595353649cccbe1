"""The effects of a tag run, without an engine: log lines, stored items, messages, calls and
previews.
"""

import pytest
from scripted_run import Clock, Preview, Stage, a_line, a_request, answers_of, turn, waits_for

from builders import NOW
from twite.gateway.ports.transport import NoResponse
from twite.tags.runtime.tag_log import STORAGE_FULL
from twite.tags.template.effects import (
    AfterEvent,
    Forget,
    Keep,
    LogEffect,
    MessageEffect,
    RunContainer,
    Service,
    SetCookie,
)
from twite.tags.template.sandbox import RunResult
from twite.tags.template.template import TemplateUnusable


async def test_log_lines_are_masked_and_name_their_template():
    stage = Stage(main=[turn(a_line("for a@mail.example"), LogEffect(text="x", own=True))])
    seen = []
    stage.see = seen.append
    stage.run_context = stage.with_web(stage.web)
    await stage.ran()

    assert [(line.tag, line.text, line.own) for line in seen] == [
        ("tag:crm", "for ***", False),
        ("tag:crm", "x", True),
    ]


async def test_stored_items_are_available_to_the_next_run():
    stage = Stage(main=[turn(Keep(key="a", value=1)), turn(Forget()), turn()])
    for _ in range(3):
        await stage.ran()

    assert [call.storage for _, call in stage.started] == [{}, {"a": 1}, {}]
    assert stage.said == []


async def test_full_storage_of_a_template_is_reported():
    stage = Stage(main=[turn(Keep(key="a", value="x" * (2 << 20)))])
    await stage.ran()

    assert stage.said == [STORAGE_FULL]


def message(kind="ping"):
    return MessageEffect(type=kind, content={"a": 1})


async def test_message_resumes_the_templates_that_listen_for_it():
    stage = Stage(
        setup=[turn(listening=("ping",)), turn(listening=("ping",))],
        main=[turn(message(), message("other"), listening=("ping",))],
        teardown=[turn(message())],
    )
    await stage.ran(container=stage.container(setup=False, teardown=False))

    # No template gets its own message.
    assert answers_of(stage) == [("setup", [(0, "ping")])] * 2 + [("main", [(0, "ping")])]
    assert [answers[0].value for _, answers, _ in stage.resumed] == [{"a": 1}] * 3
    assert [sorted(call.listened) for _, call in stage.started] == [[], ["ping"], ["ping"]]


async def test_template_with_an_error_gets_no_message():
    stage = Stage(setup=[turn(listening=("ping",), error="no")], main=[turn(message())])
    await stage.ran(container=stage.container(setup=False))

    assert stage.resumed == []


async def test_end_of_the_event_is_reported_to_each_template_that_waits_for_it():
    clock = Clock()
    stage = Stage(
        clock=clock,
        setup=[turn(AfterEvent(id=3), AfterEvent(id=4))],
        main=[turn(AfterEvent(id=5), outcome=RunResult.FAILURE)],
    )
    tag_run = stage.tag_run(container=stage.container(setup=False))
    clock.skipped += 50_000
    await tag_run.run()

    assert sorted(answers_of(stage)) == [
        ("main", [(5, "complete")]),
        ("setup", [(3, "complete"), (4, "complete")]),
    ]
    [tags] = (stage.resumed[0][1][0].value["tags"],)
    [tag] = tags
    assert (tag["id"], tag["status"]) == ("crm", "failure")
    assert 50_000 <= tag["executionTime"] < 100_000


async def test_end_of_a_successful_event_is_reported_as_success():
    stage = Stage(main=[turn(AfterEvent(id=5))])
    await stage.ran()

    [(_, (answer,), _)] = stage.resumed
    assert answer.value["tags"][0]["status"] == "success"


async def test_created_event_calls_on_start_first():
    created = RunContainer(id=2, event={}, on_start=True, on_complete=True)
    stage = Stage(main=[waits_for(created, AfterEvent(id=6, event=2))])
    await stage.ran()

    # Without calls of the container, the event has no tags.
    assert stage.said == ["runContainer was ignored: this command does not run the container"]
    [(_, answers)] = answers_of(stage)
    assert answers[0] == (2, "start")
    assert sorted(answers[1:]) == [(2, "complete"), (6, "complete")]


async def test_only_tags_may_run_the_container():
    stage = Stage(segment=[turn(RunContainer(id=2, event={}))])
    await stage.looks_up("segment").ran()

    assert stage.said == ["runContainer was ignored: only tags and clients may call it"]


async def test_effects_after_the_response_are_ignored_with_one_log_line():
    cookie = SetCookie(name="a", value="b")
    stage = Stage(main=[turn(cookie, cookie)])
    stage.policy = stage.allow_all
    await stage.ran()

    assert stage.said == ["setCookie was ignored: the response was sent before the tag ran"]


def insert():
    table = {"projectId": "p", "datasetId": "d", "tableId": "t"}
    return Service(id=1, name="BigQuery.insert", arguments=[table, [{"a": 1}]])


@pytest.mark.parametrize(
    "other",
    [{"seed": 8}, {"at": NOW + 1}, {"event": {"event_name": "y"}}],
    ids=["id", "at", "event"],
)
async def test_bigquery_rows_have_the_same_ids_in_each_run_of_a_delivery_only(other):
    bodies = []
    for more in ({}, {}, other):
        stage = Stage(main=[waits_for(insert())])
        await stage.ran(**more)
        bodies.append(stage.web.asked[0].body)

    assert bodies[0] == bodies[1] != bodies[2]


async def test_denied_google_token_is_reported():
    stage = Stage(main=[waits_for(a_request())])
    stage.google.denies = True
    await stage.ran()

    assert stage.said == ["getGoogleAuth: no token"]


async def test_run_is_recorded_in_a_preview():
    preview = Preview()
    stage = Stage(NoResponse(reason="cut", left=True), main=[waits_for(a_request())])
    await stage.ran(run={"trace": preview})

    assert preview.noted == [
        ("run", "crm", ["main"]),
        ("turn", "main"),
        ("answers", [1]),
        ("turn", "main"),
        ("end", "success"),
    ]


@pytest.mark.parametrize(
    ("made", "end"),
    [
        (turn(outcome=RunResult.FAILURE), "the template reported failure"),
        (TemplateUnusable("", 1, "no"), "the template cannot be run: line 1: no"),
    ],
)
async def test_failed_run_is_recorded_in_a_preview_with_its_reason(made, end):
    preview = Preview()
    await Stage(main=[made]).ran(run={"trace": preview})

    assert preview.noted[-1] == ("end", end)
