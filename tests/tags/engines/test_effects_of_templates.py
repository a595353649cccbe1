"""The effects that templates request."""

import pytest
from template_stage import NOW, call, effects, ran, returned, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.effects import (
    Body,
    BrowserPixel,
    ClaimEffect,
    Forget,
    Header,
    HttpEffect,
    Keep,
    LogEffect,
    MessageEffect,
    PixelBody,
    Respond,
    RunContainer,
    SetCookie,
    Status,
)
from twite.tags.template.sandbox import ContainerVersion, EffectAnswer, RunResult
from twite.tags.template.template import TemplateKind


def test_parts_of_a_response_are_separate_effects():
    code = """
    require('setResponseStatus')(201);
    require('setResponseHeader')('X-One', 1);
    require('setResponseHeader')('X-Two', undefined);
    require('setResponseBody')('aGk=', 'base64');
    require('setPixelResponse')();
    require('returnResponse')();
    """

    assert effects(code) == (
        Status(code=201),
        Header(name="x-one", value="1"),
        Header(name="x-two"),
        Body(text="aGk=", encoding="base64"),
        PixelBody(),
        Respond(),
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", SetCookie(name="c", value="a%20b")),
        (", {}, true", SetCookie(name="c", value="a b")),
        (
            (
                ", {domain: 'auto', path: '/', 'max-age': 60, secure: true, httpOnly: true, "
                "sameSite: 'lax', fallbackDomain: 'f.example'}"
            ),
            SetCookie(
                name="c",
                value="a%20b",
                domain="auto",
                path="/",
                max_age=60,
                secure=True,
                http_only=True,
                same_site="lax",
                fallback_domain="f.example",
            ),
        ),
        (
            ", {HttpOnly: true, samesite: 'None', Expires: 'x'}",
            SetCookie(name="c", value="a%20b", http_only=True, same_site="None", expires="x"),
        ),
    ],
)
def test_cookie_options_can_be_written_in_any_case(options, expected):
    assert effects(f"require('setCookie')('c', 'a b'{options});") == (expected,)


@pytest.mark.parametrize(
    "options",
    [
        "{method: 'GET\\r\\nX: y'}",
        "{method: 'A B'}",
        "{headers: {'a b': 'c'}}",
        "{headers: {'': 'c'}}",
        "{headers: {a: 'b\\r\\nc: d'}}",
        "{headers: {a: '\\u0000'}}",
    ],
)
def test_request_that_http_cannot_express_fails_without_an_effect(options):
    code = f"require('sendHttpRequest')('https://a.example/', data.gtmOnFailure, {options});"

    turn = ran(code)

    assert (turn.effects, turn.outcome) == ((), RunResult.FAILURE)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1e300", 10**12), ("-1", 0), ("0 / 0", 0), ("1 / 0", 10**12), ("'5.7'", 5), ("{}", 0)],
)
def test_timeout_of_a_request_is_an_integer_of_milliseconds(given, kept):
    [request] = effects(f"require('sendHttpGet')('https://a.example/', {{timeout: {given}}});")

    assert request == HttpEffect(id=1, url="https://a.example/", method="GET", timeout=kept)


def test_browser_pixel_is_sent_only_if_supported_and_before_the_response():
    code = """
    const pixel = require('sendPixelFromBrowser');
    const before = pixel('https://p.example/a');
    require('returnResponse')();
    return [before, pixel('https://p.example/b')];
    """

    able, unable = ran(code, browser_pixels=True), ran(code)

    assert able.returned == [True, False]
    assert able.effects == (BrowserPixel(url="https://p.example/a"), Respond())
    assert unable.returned == [False, False]


def test_log_writes_objects_as_json_and_other_values_as_text():
    assert effects("require('logToConsole')('a', 1, null, {b: [2]}, undefined, true);") == (
        LogEffect(text='a 1 null {"b":[2]} undefined true'),
    )


def test_message_is_delivered_in_its_template_at_once_and_to_others_by_an_effect():
    code = """
    const seen = [];
    require('addMessageListener')('done', (type, message) => seen.push([type, message]));
    const send = require('sendMessage');
    send('done', {a: 1});
    send('done', 'not an object');
    send(7, [1]);
    return [seen, require('hasMessageListener')('done'), require('hasMessageListener')('other')];
    """

    turn = ran(code, listened=("other",))

    assert turn.returned == [[["done", {"a": 1}]], True, True]
    assert turn.effects == (
        MessageEffect(type="done", content={"a": 1}),
        MessageEffect(type="7", content=[1]),
    )
    assert turn.listening == ("done",)


def test_listener_gets_messages_of_other_templates():
    code = """
    require('addMessageListener')('done', (type, message) => require('logToConsole')(message));
    """
    engine = QuickJsEngine(template(code))
    first = engine.start(call())

    later = engine.resume(first.run, (EffectAnswer(id=0, type="done", value={"a": 1}),), now=NOW)

    assert later.effects == (LogEffect(text='{"a":1}'),)


def test_storage_returns_copies_and_changes_by_effects():
    code = """
    const storage = require('templateDataStorage');
    const held = storage.getItemCopy('held');
    held.a = 'changed';
    storage.setItemCopy('new', {b: 1});
    storage.setItemCopy('gone', null);
    storage.removeItem('old');
    const seen = ['held', 'new', 'x'].map((key) => storage.getItemCopy(key));
    storage.clear();
    return [seen, storage.getItemCopy('held')];
    """

    turn = ran(code, storage={"held": {"a": 1}})

    assert turn.returned == [[{"a": 1}, {"b": 1}, None], None]
    assert turn.effects == (
        Keep(key="new", value={"b": 1}),
        Keep(key="gone"),
        Keep(key="old"),
        Forget(),
    )


CLIENT = """
require('claimRequest')();
const getEventData = require('getEventData');
const log = require('logToConsole');
require('runContainer')({event_name: 'a'},
  (bind) => bind(() => log('complete', getEventData('event_name')))(),
  (bind) => bind(() => log('start', getEventData('event_name')))());
"""


def test_client_claims_a_request_and_runs_the_container_for_an_event():
    engine = QuickJsEngine(template(CLIENT, kind=TemplateKind.CLIENT))

    first = engine.start(call())
    started = engine.resume(first.run, (EffectAnswer(id=1, phase="start"),), now=NOW)
    ended = engine.resume(first.run, (EffectAnswer(id=1, phase="complete"),), now=NOW)

    assert first.effects == (
        ClaimEffect(),
        RunContainer(id=1, event={"event_name": "a"}, on_start=True, on_complete=True),
    )
    assert (started.effects, started.waiting) == ((LogEffect(text="start a"),), (1,))
    assert (ended.effects, ended.done) == ((LogEffect(text="complete a"),), True)


def test_on_start_without_on_complete_is_called_once():
    engine = QuickJsEngine(template("require('runContainer')({}, undefined, () => 1);"))

    first = engine.start(call())
    started = engine.resume(first.run, (EffectAnswer(id=1, phase="start"),), now=NOW)

    assert first.effects == (RunContainer(id=1, event={}, on_start=True),)
    assert started.done


@pytest.mark.parametrize("event", ["[1]", "'x'", "7", "true", "() => 1", "{toJSON: () => [1]}"])
def test_event_that_is_not_an_object_is_empty_with_a_log_line(event):
    turn = ran(f"require('runContainer')({event}); data.gtmOnSuccess();")

    assert turn.error is None
    assert turn.effects == (
        LogEffect(text="runContainer: the event is not an object", own=True),
        RunContainer(id=1, event={}),
    )


@pytest.mark.parametrize("event", ["", "undefined", "null", "{}"])
def test_missing_event_of_runcontainer_is_empty(event):
    assert ran(f"require('runContainer')({event});").effects == (RunContainer(id=1, event={}),)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("require('claimRequest')();", TemplateKind.TAG),
        ("require('callLater')(() => require('claimRequest')());", TemplateKind.CLIENT),
        ("require('runContainer')({});", TemplateKind.CLIENT),
    ],
)
def test_only_a_client_may_claim_and_only_before_it_runs_the_container(code, kind):
    turn = ran(code, kind=kind)

    assert turn.error is not None
    assert turn.effects == ()


def test_variable_can_return_a_value_but_no_function():
    assert returned("return {a: [1, 'b'], f: () => 1};", kind=TemplateKind.VARIABLE) == {
        "a": [1, "b"]
    }
    assert ran("return () => 1;", kind=TemplateKind.VARIABLE).returned is None


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("data.gtmOnSuccess();", RunResult.SUCCESS),
        ("data.gtmOnFailure();", RunResult.FAILURE),
        ("data.gtmOnFailure(); data.gtmOnSuccess();", RunResult.FAILURE),
        ("", RunResult.SILENT),
    ],
)
def test_tag_reports_its_outcome_once(code, outcome):
    assert ran(code).outcome == outcome


def test_debug_logs_are_written_only_in_debug_mode():
    grants = (template("").grants[0].__class__(permission="logging", parameters={}),)
    code = "require('logToConsole')('x');"

    quiet = ran(code, grants=grants)
    shown = ran(code, grants=grants, container=ContainerVersion(debug_mode=True))

    assert (quiet.effects, quiet.error) == ((), None)
    assert shown.effects == (LogEffect(text="x"),)


@pytest.mark.parametrize(
    "code",
    [
        "require('sendHttpRequest')('https://a.example/', {method: 'POST'}, {a: 1});",
        "require('sendHttpRequest')('https://a.example/', () => 0, {method: 'POST'}, {a: 1});",
    ],
)
def test_object_as_a_request_body_is_reported(code):
    log, request = effects(code)

    assert log == LogEffect(
        text="sendHttpRequest: the body is not a text, and becomes [object Object]. "
        "Use JSON.stringify",
        own=True,
    )
    assert request.body == "[object Object]"


def test_array_as_a_response_body_is_reported():
    log, body = effects("require('setResponseBody')([1, 2]);")

    assert (
        log.text == "setResponseBody: the body is not a text, and becomes 1,2. Use JSON.stringify"
    )
    assert body.text == "1,2"


def test_cookie_with_a_lone_surrogate_is_set():
    (cookie,) = effects("require('setCookie')('a', '\\uD800');")

    assert cookie.value == "%EF%BF%BD"
