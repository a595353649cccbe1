"""Calls of Segment's API that cannot be read cost themselves only."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segment_calls import PAGE, SERVER, batch, order, read_all

from any_event import NAMES, VALUES
from twite.domain.errors import MalformedRequest
from twite.formats.segment.read import MAX_CALL, write_key


@pytest.mark.parametrize(
    ("call", "path", "code"),
    [
        (5, "batch[1]", "wrong_type"),
        (
            {"type": "track", "event": "purchase", "properties": []},
            "batch[1].properties",
            "wrong_type",
        ),
        ({"type": "track", "event": "purchase", "context": 1}, "batch[1].context", "wrong_type"),
        ({"type": "track", "note": "x" * MAX_CALL}, "batch[1]", "text_too_long"),
    ],
)
def test_bad_call_in_a_batch_costs_itself_only(call, path, code):
    found, results = read_all(batch(order(), call, order({"order_id": "O-2"})))

    assert [result.conversion is not None for result in results] == [True, False, True]
    assert [(fault.path, fault.code) for fault in found.faults[1]] == [(path, code)]


def test_batch_of_one_bad_call_is_a_reject_and_no_malformed_request():
    found, _ = read_all(batch(5))

    assert [fault.code for fault in found.faults[0]] == ["wrong_type"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_does_not_have_costs_its_call_only(number):
    texts = order({"order_id": "O-2", "note": 'say "NaN" \\ NaN'})

    _, results = read_all(batch(order({"total": number, "value": 5}), texts))

    assert results[1].conversion.conversion_id == "O-2"
    assert results[0].conversion is None or results[0].conversion.value == "5.00"


@pytest.mark.parametrize(
    ("body", "call"),
    [
        (b"", "track"), (b"{", "track"), (b"[]", "track"), (b"5", "batch"), (b"{}", "batch"),
        (b'{"batch":{}}', "batch"), (b'{"batch":[],"context":1}', "batch"),
        (b'{"event":"a","event":"b"}', "track"), (b'{"batch":[' + b"0," * 2_500 + b"0]}", "batch"),
    ],
)  # fmt: skip
def test_body_without_calls_is_malformed(body, call):
    with pytest.raises(MalformedRequest):
        read_all(body, call=call)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"batch": [{"writeKey": "inner"}], "writeKey": "k"}', "k"),
        (b'{"writeKey": 5}', None),
        (b'{"writeKey": null}', None),
        (b"[]", None),
        (b"{", None),
        (b'{"writeKey": "\\ud800"}', None),
        (b'{"x": NaN, "writeKey": "NaN"}', None),
        (b'{"x": [-Infinity, NaN, "\\ud800", "\\uDFFF", "\\\\ud800"], "writeKey": "a"}', "a"),
        (b'{"x": "NaN", "writeKey": "aNaN"}', "aNaN"),
    ],
)
def test_write_key_is_read_from_the_top_of_the_body(body, expected):
    assert write_key(body) == expected


OBJECTS = st.dictionaries(
    st.one_of(
        st.sampled_from(NAMES),
        st.sampled_from(["products", "traits", "page", "consent", "order_id"]),
    ),
    st.one_of(
        VALUES, st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3), max_size=3)
    ),
    max_size=6,
)
ANY_CALL = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "identify", "page", "x", 5, None]),
        "event": st.sampled_from(["Order Completed", "", None, 5, ["x"]]),
        "properties": st.one_of(OBJECTS, VALUES),
        "context": st.one_of(OBJECTS, VALUES),
        "traits": st.one_of(OBJECTS, VALUES),
        "integrations": st.one_of(OBJECTS, VALUES),
        "userId": VALUES,
        "anonymousId": VALUES,
        "messageId": VALUES,
        "timestamp": VALUES,
        "sentAt": VALUES,
    },
)


@given(st.lists(ANY_CALL, max_size=3), st.sampled_from([SERVER, PAGE]))
def test_any_calls_become_conversions_or_rejects_or_are_ignored(calls, visitor):
    found, results = read_all(batch(*calls), visitor=visitor)

    assert len(found.conversions) + len(found.ignored) == len(calls)
    assert all(result.conversion or result.faults for result in results)


@given(st.binary(max_size=200), st.sampled_from(["track", "batch"]))
def test_any_bytes_are_read_or_malformed(body, call):
    with suppress(MalformedRequest):
        read_all(body, call=call)
