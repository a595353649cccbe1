"""An invalid conversion is rejected alone, with all its errors."""

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import CLICK, FULL, codes, read_bytes

from twite.formats.native.fields import MAX_FAULTS, field_by_field
from twite.formats.parsed_request import Native, NativeContent

GOOD = {"event": "purchase", "twclid": CLICK}


def read_beside_good(*bad):
    """Read invalid conversions (JSON values or text) between two valid ones."""
    texts = [text if isinstance(text, str) else json.dumps(text) for text in bad]
    body = ",".join([json.dumps(FULL), *texts, json.dumps(FULL | {"conversion_id": "o2"})])
    results = read_bytes(f'{{"conversions":[{body}]}}'.encode()).results
    assert [result.index for result in results] == list(range(len(bad) + 2))
    assert [results[0].conversion is None, results[-1].conversion is None] == [False, False]
    return results[1:-1]


@pytest.mark.parametrize(
    ("bad", "path", "code", "message"),
    [
        (
            GOOD | {"time": 1764000000},
            "time",
            "wrong_type",
            'must be text or null, not a whole number: write it like "2026-11-24T10:00:00Z"',
        ),
        (
            GOOD | {"conversion_id": 1.00023e11},
            "conversion_id",
            "wrong_type",
            'must be a whole number, text or null, not a number: write it like "order-1001"',
        ),
        (
            {"event": ["purchase"], "twclid": CLICK},
            "event",
            "wrong_type",
            'must be text or null, not a list: write it like "purchase"',
        ),
        (
            GOOD | {"contents": [{"id": "a"}, {"quantity": "2"}]},
            "contents[1].quantity",
            "wrong_type",
            "must be a whole number or null, not text: write it like 2",
        ),
        (
            GOOD | {"contents": {"id": "a"}},
            "contents",
            "wrong_type",
            (
                'must be a list, not an object: write it like [{"id": "SKU-1", "price": "24.95", '
                '"quantity": 2}]'
            ),
        ),
        (
            GOOD | {"contents": ["a"]},
            "contents[0]",
            "wrong_type",
            'must be an object, such as {"id": "SKU-1"}, not text',
        ),
        (
            GOOD | {"consent": "granted"},
            "consent",
            "wrong_type",
            'must be an object, such as {"ad_storage": "granted"}, not text',
        ),
        (
            GOOD | {"consent": {"ad_storage": 1}},
            "consent.ad_storage",
            "wrong_type",
            "must be a boolean or text, not a whole number",
        ),
        (
            GOOD | {"emial": "a@example.com"},
            "emial",
            "unknown_field",
            '"emial" is not a field of a conversion; did you mean "email"?',
        ),
        (
            GOOD | {"contents": [{"prise": 1}]},
            "contents[0].prise",
            "unknown_field",
            '"prise" is not a field of a conversion; did you mean "price"?',
        ),
        (
            GOOD | {"zzzzz": 1},
            "zzzzz",
            "unknown_field",
            '"zzzzz" is not a field of a conversion: leave it out',
        ),
        (
            '{"event":"purchase","twclid":"a","value":1,"value":2,"currency":"EUR"}',
            "value",
            "duplicate_key",
            "the key occurs twice in one object: remove one of them",
        ),
        (
            '{"event":"purchase","twclid":"a","consent":{"gpc":true,"gpc":false}}',
            "consent.gpc",
            "duplicate_key",
            "the key occurs twice in one object: remove one of them",
        ),
        (
            5,
            "",
            "wrong_type",
            'must be an object, such as {"event": "purchase", …}, not a number',
        ),
        (None, "", "wrong_type", 'must be an object, such as {"event": "purchase", …}, not null'),
    ],
    ids=str,
)
def test_malformed_conversion_is_rejected_alone(bad, path, code, message):
    [result] = read_beside_good(bad)

    assert result.conversion is None
    [fault] = result.faults
    assert (fault.path, fault.code, fault.message) == (path, code, message)


def test_single_malformed_conversion_is_rejected_as_in_a_batch():
    [result] = read_bytes(json.dumps(GOOD | {"time": 1}).encode()).results

    assert codes(result) == [("time", "wrong_type")]


def test_all_errors_of_a_conversion_are_reported_together():
    bad = {"event": "purchase", "time": 1, "email": 5, "value": "much", "currency": "EUR", "x": 1}

    [result] = read_beside_good(bad)

    assert codes(result) == [
        ("time", "wrong_type"),
        ("email", "wrong_type"),
        ("x", "unknown_field"),
        ("value", "not_an_amount"),
    ]


def test_misspelt_key_conversions_is_reported_with_a_suggestion():
    [result] = read_bytes(b'{"conversion":[{"event":"purchase"}]}').results

    assert result.faults[0].message.endswith('did you mean "conversions"?')


def test_number_of_reported_errors_is_limited():
    [result] = read_beside_good(GOOD | {f"f{letter}": 1 for letter in "abcdefghijklmnop"})

    assert len(result.faults) == MAX_FAULTS


@pytest.mark.parametrize("key", ["erika@example.com", "+44 7911 123456", "4479111234560", "x" * 40])
def test_invalid_key_is_not_in_the_message(key):
    reading = read_bytes(json.dumps(GOOD | {key: 1, "consent": {key: 5}}).encode())

    assert key not in str([(fault.path, fault.message) for fault in reading.results[0].faults])
    assert key.encode() not in reading.body


def test_stored_rejection_contains_no_personal_data_and_no_unknown_field():
    bad = FULL | {"time": 5, "note": "Erika, erika@example.com"}

    reading = read_bytes(json.dumps({"conversions": [bad]}).encode())

    [kept] = json.loads(reading.body)["conversions"]
    assert kept["conversion_id"] == "order-1001"
    assert kept.keys().isdisjoint({"email", "phone", "time", "note"})
    assert b"rika" not in reading.body


def test_deeply_nested_field_is_one_error():
    for depth in (100, 400, 700):  # the decoder's limit is near 1,000, less the caller's depth
        [result] = read_beside_good(f'{{"emial":{"[" * depth}{"]" * depth}}}')

        assert result.faults[0].code in {"unknown_field", "too_deep"}


def test_denial_beside_an_unreadable_signal_suppresses():
    [result] = read_beside_good(GOOD | {"consent": {"ad_storage": "denied", "gpc": 1}})

    assert result.conversion is None


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
)
ANY = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
NAMES = st.sampled_from([*Native.__struct_fields__, *NativeContent.__struct_fields__])


@given(st.dictionaries(NAMES | st.text(max_size=5), ANY) | ANY)
def test_both_readers_of_fields_report_the_same_errors(value):
    raw = json.dumps(value).encode()
    try:
        whole = msgspec.json.decode(raw, type=Native)
    except msgspec.ValidationError:
        assert field_by_field(raw)[1]
    else:
        assert field_by_field(raw) == (whole, ())


def test_body_with_many_wrong_fields_is_read_quickly():
    wrong = "{" + ",".join(f'"f{n:05}{chr(97 + n % 26)}":1' for n in range(60)) + "}"
    body = f'{{"conversions":[{",".join([wrong] * 1_000)}]}}'.encode()
    began = time.process_time()

    results = read_bytes(body).results

    assert len(results) == 1_000
    assert time.process_time() - began < 2
