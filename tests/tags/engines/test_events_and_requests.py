"""What a template reads of the event, the request and the container."""

import pytest
from template_stage import incoming, ran, returned

from twite.tags.template.effects import AfterEvent
from twite.tags.template.sandbox import ContainerVersion
from twite.tags.template.template import TemplateKind

EVENT = {"a": {"b": [{"c": 1}]}, "items": [1], "text": "x", "none": None}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("text", "x"),
        ("a.b.0.c", 1),
        ("a.b", [{"c": 1}]),
        ("none", None),
        ("a.x.y", "undefined"),
        ("text.length", "undefined"),
        ("constructor", "undefined"),
        ("items.5", "undefined"),
    ],
)
def test_event_data_is_read_by_a_path_with_dots(path, expected):
    code = """
    const value = require('getEventData')(data.path);
    return value === undefined ? 'undefined' : value;
    """

    assert returned(code, event=EVENT, fields={"path": path}) == expected


def test_template_gets_a_new_copy_of_the_event_data_each_time():
    code = """
    const all = require('getAllEventData');
    const one = require('getEventData');
    all().a.b = 'changed';
    one('a').b = 'changed';
    return [all(), one('a.b.0.c')];
    """

    assert returned(code, event=EVENT) == [EVENT, 1]


def test_missing_event_data_is_an_empty_object():
    assert returned("return require('getAllEventData')();") == {}


HEADERS = {
    "host": "t.shop.example",
    "cookie": 'a=1; b=%C3%A4; a=2; c="quoted"; bad=%zz; a%20=3',
    "x-one": "1",
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("require('getRequestHeader')('X-One')", "1"),
        ("require('getType')(require('getRequestHeader')('none'))", "undefined"),
        ("require('getRequestMethod')()", "POST"),
        ("require('getRequestPath')()", "/data"),
        ("require('getRequestQueryString')()", "a=1&a=2&b=x+y%C3%A4&c"),
        ("require('getRequestQueryParameter')('a')", "1"),
        ("require('getRequestQueryParameter')('b')", "x yä"),
        ("require('getRequestQueryParameter')('c')", ""),
        ("require('getType')(require('getRequestQueryParameter')('d'))", "undefined"),
        ("require('getRequestQueryParameters')()", {"a": ["1", "2"], "b": "x yä", "c": ""}),
        ("require('getRequestBody')()", "the body"),
        ("require('getRemoteAddress')()", "203.0.113.7"),
        ("require('getCookieValues')('a')", ["1", "2"]),
        ("require('getCookieValues')('b')", ["ä"]),
        ("require('getCookieValues')('b', true)", ["%C3%A4"]),
        ("require('getCookieValues')('c')", ["quoted"]),
        ("require('getCookieValues')('bad')", ["%zz"]),
        ("require('getCookieValues')('none')", []),
        ("require('getClientName')()", "GA4"),
        ("require('isRequestMpv1')()", False),
        ("require('isRequestMpv2')()", False),
    ],
)
def test_template_reads_each_part_of_the_request(expression, expected):
    request = incoming(
        HEADERS,
        method="POST",
        path="/data",
        query="a=1&a=2&b=x+y%C3%A4&c",
        body="the body",
        remote_address="203.0.113.7",
    )

    assert returned(f"return {expression};", request=request, client="GA4") == expected


def test_repeated_request_header_is_joined():
    request = incoming()
    twice = type(request)(headers=(("a", "1"), ("a", "2")))

    assert returned("return require('getRequestHeader')('A');", request=twice) == "1, 2"


def test_missing_parts_of_a_request_are_undefined_or_empty():
    code = """
    return [require('getType')(require('getRequestBody')()), require('getRequestQueryString')(),
      require('getCookieValues')('a')];
    """

    assert returned(code) == ["undefined", "", []]


def test_container_version_is_returned():
    reported = returned(
        "return require('getContainerVersion')();", container=ContainerVersion(debug_mode=True)
    )

    assert reported == {
        "containerId": "GTM-TWITE",
        "debugMode": True,
        "environmentName": "Live",
        "environmentMode": False,
        "previewMode": False,
        "version": "1",
    }


def test_measurement_protocol_hit_is_recognized_with_its_events():
    code = """
    return [require('isRequestMpv2')(), require('extractEventsFromMpv2')()];
    """
    request = incoming(path="/g/collect", query="v=2&tid=G-1")
    events = [{"event_name": "purchase"}]

    assert returned(code, request=request, extracted=events, kind=TemplateKind.CLIENT) == [
        True,
        events,
    ]


@pytest.mark.parametrize("api", ["extractEventsFromMpv1", "extractEventsFromMpv2"])
def test_extracting_events_from_another_request_is_an_error(api):
    assert ran(f"require('{api}')();").error is not None


def test_event_callback_is_registered_by_an_effect():
    turn = ran("require('addEventCallback')((id, event) => {});")

    assert (turn.effects, turn.waiting) == ((AfterEvent(id=1),), (1,))
