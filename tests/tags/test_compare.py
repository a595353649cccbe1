"""Captured traffic, and the differences that a comparison of requests reports."""

import json

import pytest

from twite.tags.compare.capture import CapturedRequest, CaptureUnusable, read_cases
from twite.tags.compare.comparison import (
    STAND_IN,
    VOLATILE,
    ShownDifference,
    TagRequest,
    compared,
    summed,
)
from twite.tags.redaction.shown_values import masked_value, shown_path
from twite.tags.template.effects import HttpEffect

URL = "https://ads.example/v1/events"


def lines(*objects):
    return [json.dumps(object_).encode() for object_ in objects]


def sent(body=None, url=URL, method="POST", headers=None):
    return CapturedRequest(url=url, method=method, body=body, headers=headers)


def tag_request(body=None, url=URL, method="POST", headers=None, tag="Tag"):
    request = HttpEffect(id=1, url=url, method=method, body=body, headers=headers or {})
    return TagRequest(tag=tag, request=request)


def differences(there, here, ignore=()):
    (pair,) = compared([here], [there], ignore).pairs
    return [(difference.path, difference.there, difference.here) for difference in pair.differences]


def test_line_of_a_capture_contains_a_whole_case():
    line = {
        "event": {"event_name": "purchase"},
        "client": "GA4",
        "time": "2026-11-25T10:00:00Z",
        "sent": [{"url": URL, "method": "post", "headers": {"A": "b"}, "body": {"c": 1}}],
    }

    (case,) = read_cases(lines(line))

    assert (case.event, case.client) == ({"event_name": "purchase"}, "GA4")
    assert case.now == 1_795_600_800_000
    assert case.sent == (
        CapturedRequest(url=URL, method="POST", headers={"a": "b"}, body='{"c":1}'),
    )


def test_lines_with_one_trace_make_one_case():
    came = {"request": {"path": "/g/collect", "query": "?v=2", "headers": {"Trace-Id": "t"}}}
    logged = {"TraceId": "t", "Type": "Request", "RequestMethod": "POST", "RequestUrl": URL}
    answered = {"TraceId": "t", "Type": "Response", "ResponseStatusCode": 200}

    (case,) = read_cases(lines(came, logged, answered, {"trace": "t", "sent": {"url": URL}}))

    assert (case.request.query, case.event) == ("v=2", None)
    assert [request.method for request in case.sent] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "line 1: "),
        (b"[]", "line 1: Expected `object`, got `array`"),
        (b'{"event": 1}', "line 1: Expected `object | null`, got `int` - at `$.event`"),
        (b'{"events": {}}', "line 1: Object contains unknown field `events`"),
        (b"{}", "line 1: has no incoming event or request"),
        (b'{"event": {}, "time": "soon"}', "line 1: the time 'soon' is neither"),
        (b'{"event": {}, "sent": [{"url": 1}]}', "at `$.sent[0].url`"),
        (b"[" * 100_000, "line 1: is nested too deeply"),
        (b"\xff", "line 1: "),
    ],
)
def test_unreadable_line_of_a_capture_is_named(content, said):
    with pytest.raises(CaptureUnusable) as refused:
        read_cases([content])

    assert said in str(refused.value)


def test_repeated_trace_in_a_capture_is_refused():
    with pytest.raises(CaptureUnusable, match="line 2: the trace 't' occurs twice"):
        read_cases(lines({"trace": "t", "event": {}}, {"trace": "t", "event": {}}))


def test_bodies_are_compared_path_by_path():
    there = json.dumps({"a": [1, {"b": "x"}], "c": 1, "same": [1.0]})
    here = json.dumps({"a": [1, {"b": "y"}, 3], "d": True, "same": [1]})

    assert differences(sent(there), tag_request(here)) == [
        ("body.a.1.b", "x", "y"),
        ("body.a.2", "(absent)", 3),
        ("body.c", 1, "(absent)"),
        ("body.d", "(absent)", True),
    ]


@pytest.mark.parametrize(
    ("there", "here", "path"),
    [
        (sent("a=1&b=2"), tag_request("b=3&a=1"), "body.b"),
        (sent("plain"), tag_request("other"), "body"),
        (sent("<a b=1/>"), tag_request("<a b=2/>"), "body"),
        (sent(None), tag_request("{}"), "body"),
        (sent("1"), tag_request("true"), "body"),
        (sent('"1"'), tag_request("1"), "body"),
        (sent(url=f"{URL}?a=1&b=2"), tag_request(url=f"{URL}?b=2&a=3"), "query.a"),
    ],
)
def test_forms_texts_and_queries_are_compared(there, here, path):
    assert [difference[0] for difference in differences(there, here)] == [path]


def test_only_headers_that_a_template_sets_are_compared():
    there = sent(headers={"a": "1", "b": "2", "user-agent": "x"})

    assert differences(there, tag_request(headers={"A": "1", "B": "3", "C": "4"})) == [
        ("headers.b", "2", "3"),
        ("headers.c", "(absent)", "4"),
    ]
    assert differences(sent(), tag_request(headers={"A": "1"})) == []


def test_ignored_paths_are_counted_and_not_compared():
    there, here = (
        sent('{"a": {"event_time": 1, "x": 1}}'),
        tag_request('{"a": {"event_time": 2, "x": 2}}'),
    )

    (pair,) = compared([here], [there], (*VOLATILE, "body.a.x")).pairs

    assert (pair.differences, pair.ignored) == ((), ("body.a.event_time", "body.a.x"))


def test_secret_that_is_missing_here_is_not_compared():
    there = sent(headers={"authorization": "Bearer abc"})
    here = tag_request(headers={"authorization": f"Bearer {STAND_IN}"})

    assert differences(there, here) == []


def test_requests_to_one_url_are_paired_by_similarity():
    there = [sent('{"n": 1, "m": 1}'), sent('{"n": 2, "m": 2}')]
    here = [tag_request('{"n": 2, "m": 2}', tag="B"), tag_request('{"n": 1, "m": 3}', tag="A")]

    found = compared(here, there, ())

    assert [(pair.tag, len(pair.differences)) for pair in found.pairs] == [("A", 1), ("B", 0)]


def test_requests_without_a_pair_are_missing_or_extra():
    there = [sent(), sent(url="https://a.example/stape-api/abc/v1?key=1")]
    here = [tag_request(), tag_request(), tag_request(method="GET")]

    found = compared(here, there, ())

    assert found.missing == ("POST https://a.example/stape-api/***/v1",)
    assert found.extra == (("Tag", f"POST {URL}"), ("Tag", f"GET {URL}"))


@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("https://CRM.example?x=1&q=\u00fc", "https://crm.example/?x=1&q=%C3%BC"),
        ("https://WAREHOUSE.example:443/orders", "https://warehouse.example/orders"),
        ("http://a.example:80/caf\u00e9", "http://a.example/caf%C3%A9"),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
    ],
)
def test_equivalent_urls_are_equal(address, other):
    assert compared([tag_request(url=address)], [sent(url=other)], ()).missing == ()
    assert compared([tag_request(url=other)], [sent(url=address)], ()).extra == ()


@pytest.mark.parametrize("other", ["https://a.example:8443/in", "http://a.example/in"])
def test_url_with_another_port_or_scheme_is_different(other):
    assert compared([tag_request(url="https://a.example/in")], [sent(url=other)], ()).missing


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("body.value", "49.90", '"49.90"'),
        ("body.currency", "EUR", '"EUR"'),
        ("body.0.event_name.0", "purchase", '"purchase"'),
        ("body.n", 12, "12"),
        ("body.n", None, "null"),
        ("body.n", True, "true"),
        ("body.n", {"a": 1}, "<object of 1>"),
        ("body.n", ["a"], "<list of 1>"),
        ("body.mine", "seen", '"seen"'),
    ],
)
def test_values_without_personal_data_are_shown(path, value, shown):
    assert masked_value(path, value, shown=frozenset({"mine"}), salt=b"") == shown


@pytest.mark.parametrize(
    "value",
    [
        "shopper@example.com",
        "+442079460958",
        442079460958,
        "203.0.113.7",
        "Anna",
        "px_2f7Qm9Zr4Tb8",
    ],
)
def test_possible_personal_data_and_keys_are_masked(value):
    mark = masked_value("body.x", value, shown=frozenset(), salt=b"1")

    assert str(value) not in mark
    assert mark == masked_value("body.y", value, shown=frozenset(), salt=b"1")
    assert mark != masked_value("body.x", value, shown=frozenset(), salt=b"2")


def test_possible_personal_data_in_a_json_key_is_masked():
    path = "body.shopper@example.com.442079460958.name"

    assert shown_path(path) == "body.***.com.***.name"


def test_differences_at_one_path_are_reported_once_with_a_count():
    found = compared([tag_request('{"value": 1}')], [sent('{"value": 2}')], ())
    other = compared([tag_request('{"value": 1}')], [sent('{"value": 3}')], ())

    reported = summed(
        [
            ShownDifference(line=1, compared=found),
            ShownDifference(line=2, compared=other),
            ShownDifference(line=3),
        ],
        lambda _, value: str(value),
    )

    (group,) = reported.differences
    assert (group.path, group.times, group.line, group.there) == ("body.value", 2, 1, "2")
    assert (reported.cases, reported.different, reported.is_alike) == (3, 2, False)
