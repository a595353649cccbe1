import contextlib
import json
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from readings import CLICK, FULL, read_bytes

from twite.domain.errors import MalformedRequest
from twite.formats.native import read as native
from twite.formats.native.values import MAX_TEXT
from twite.x.encode import conversion_body


def read_or_malformed(body):
    with contextlib.suppress(MalformedRequest):
        reading = read_bytes(body)
        json.loads(reading.body)
        for result in reading.results:
            assert result.conversion or result.faults
            if result.conversion:
                json.loads(conversion_body(result.conversion))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(body):
    read_or_malformed(body)


@given(st.text('"\\{}[]:,0123456789.eE-+ntfu conversions', max_size=120))
def test_any_damaged_json_is_read_or_malformed(text):
    read_or_malformed(text.encode())


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["purchase", "o8z6j", CLICK, "2026-11-24T10:00:00Z", "49.90", "EUR"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "price", "quantity", "ad_storage", "event"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from([*FULL, "email_sha256", "phone_sha256"]), VALUES)


@given(OBJECTS | st.builds(lambda many: {"conversions": many}, st.lists(OBJECTS, max_size=3)))
def test_any_json_structure_is_read_or_malformed(value):
    read_or_malformed(json.dumps(value).encode())


@given(st.fixed_dictionaries({"event": st.just("purchase"), "twclid": st.just(CLICK)}, optional={
    name: st.text(max_size=30)
    for name in FULL if name not in {"event", "contents", "consent", "twclid"}
}))  # fmt: skip
def test_any_texts_in_fields_are_read(value):
    reading = read_bytes(json.dumps(value).encode())

    assert reading.results[0].conversion is not None or reading.results[0].faults


LONG = st.sampled_from([1_000, 1_365, 1_366, 4_095, 4_096, 4_097])
LETTERS = st.sampled_from(["a", "é", "%", "漢", '"', "\\"])


@given(st.lists(st.fixed_dictionaries({"event": st.just("purchase"), "twclid": st.just(CLICK)},
    optional={
        "description": st.builds(str.__mul__, LETTERS, LONG),
        "url": st.builds(
            lambda letter, size: f"https://shop.example/?utm_term={letter * size}", LETTERS, LONG
        ),
    }), min_size=1, max_size=3), st.booleans())  # fmt: skip
def test_text_that_is_too_long_is_found_in_any_body(conversions, is_ascii):
    body = json.dumps({"conversions": conversions}, ensure_ascii=is_ascii).encode()
    with patch.object(native, "_may_hold_long_texts", lambda body: len(body) > MAX_TEXT):
        thorough = read_bytes(body)

    assert read_bytes(body) == thorough
