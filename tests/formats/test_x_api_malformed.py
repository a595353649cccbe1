"""Malformed requests to X's API."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import read_one_x, read_x

from twite.formats.x_api.read import XApiRefusal, XReading
from twite.x.encode import batch_body, conversion_body

TWICE = '"event_id" occurs twice in one object: remove one of them'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Invalid request body: not JSON: Input data was truncated"),
        (b"[]", "Invalid request body: must be an object, not a list"),
        (b"{}", 'Invalid request body: "conversions" is missing'),
        (b'{"conversions":[]}', "At least one conversion must be provided"),
        (
            b'{"conversions":[{"event_id":"a","event_id":"b"}]}',
            f"Invalid request body: {TWICE}",
        ),
        (
            b'{"conversions":[{"value":NaN}]}',
            "Invalid request body: not JSON: JSON has no NaN and no Infinity",
        ),
        (
            b'{"conversions":[5]}',
            "Invalid request body: must be an object, not a whole number",
        ),
    ],
)
def test_malformed_body_is_refused_in_x_format(body, said):
    answer = read_x(body)

    assert answer.status == 400
    assert [complaint.message for complaint in answer.complaints] == [said]


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.just("a" * 64),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["twclid", "hashed_email", "content_price", "num_items"]), inner
        )
    ),
    max_leaves=6,
)
FIELDS = [
    "conversion_time", "conversion_timestamp", "event_id", "event_name", "identifiers",
    "conversion_id", "value", "price_currency", "number_items", "description", "search_string",
    "event_source_url", "contents", "restricted_data_use",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), JSONISH, max_size=5))
def test_any_structure_is_accepted_or_refused(fields):
    answer = read_one_x(**fields)

    if isinstance(answer, XReading):
        json.loads(batch_body([conversion_body(conversion) for conversion in answer.conversions]))
    else:
        assert answer.status in {400, 404}
        assert answer.complaints


@given(st.binary(max_size=150))
def test_any_bytes_are_accepted_or_refused(body):
    assert isinstance(read_x(body), XApiRefusal)
