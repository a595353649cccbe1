"""Fields of a conversion: accepted values, and refused ones with their messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from x_requests import a_conversion, a_judge, a_request, answer_of, refused

from twite.x import spec as gateway_spec
from twite_emulator import spec
from twite_emulator.examine import _CONTENT_CHECKS

INVALID = "INVALID_PARAMETER"


def problems(*switches, **changes):
    status, document = answer_of(a_judge(*switches), a_conversion(**changes))
    return [] if status == 200 else [error["message"] for error in document["errors"]]


def in_body(text):
    """The problems of a conversion with `text` appended as raw JSON."""
    conversion = (
        '{"conversion_time":"2026-11-25T00:00:00.000Z","event_id":"o8z6k",'
        '"identifiers":[{"twclid":"abc"}],' + text + "}"
    )
    body = f'{{"conversions":[{conversion}]}}'.encode()
    status, document = answer_of(a_judge(), body=body)
    return [] if status == 200 else [error["message"] for error in document["errors"]]


@pytest.mark.parametrize("raw", ['"20.00"', '"20"', "20.0", "20.5", "2e1", '"0.001"', '"-5.00"'])
def test_value_and_prices_can_be_a_number_with_a_point_or_a_text(raw):
    assert in_body(f'"value":{raw}') == []


@pytest.mark.parametrize("raw", ["20", "-1", "0", "18446744073709551616"])
def test_integer_is_refused_as_a_value_if_switched(raw):
    assert in_body(f'"value":{raw}') == [f'Expected Double, got "{raw}" for value']


@pytest.mark.parametrize("raw", ["true", '"1,234.50"', '""', '"NaN"', '"Infinity"', "[]", '" 1"'])
def test_text_that_is_no_number_is_refused_as_a_value(raw):
    shown = raw.strip('"')
    shown = " 1" if raw == '" 1"' else shown
    assert in_body(f'"value":{raw}') == [f'Expected Double, got "{shown}" for value']


def test_price_of_a_content_is_read_like_a_value():
    found = problems(contents=[{"content_price": 5}])

    assert found == ['Expected Double, got "5" for content_price']


def test_integer_is_accepted_as_a_value_by_default():
    found = problems("strict_double=off", value=20, contents=[{"content_price": 5}])

    assert found == []


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-25T00:00:00.000Z",
        "2026-11-25T00:00:00Z",
        "2026-11-25T00:00:00+00:00",
        "2026-11-25T00:00:00.1+0100",
        "2026-11-25T00:00:00.123456789-05",
    ],
)
def test_conversion_time_with_any_zone_is_accepted(time):
    assert problems(conversion_time=time) == []


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-25",
        "2026-11-25T00:00:00",
        "2026-11-25 00:00:00Z",
        "2026-13-25T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-25T24:00:01Z",
        "٢٠٢٦-11-25T00:00:00Z",
        "",
    ],
)
def test_invalid_conversion_time_is_refused(time):
    shown = f'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "{time}" for conversion_time'
    assert problems(conversion_time=time) == [shown]


def test_switch_strict_time_accepts_only_milliseconds_and_z():
    strict = ("strict_time=on",)

    taken = problems(*strict, conversion_time="2026-11-25T00:00:00.000Z")
    refused_ = [
        len(problems(*strict, conversion_time=time))
        for time in ("2026-11-25T00:00:00Z", "2026-11-25T00:00:00.000+00:00")
    ]

    assert (taken, refused_) == ([], [1, 1])


def test_timestamp_in_milliseconds_can_replace_the_conversion_time():
    assert problems(conversion_time=None, conversion_timestamp=1_795_600_000_000) == []


def test_timestamp_must_be_an_integer():
    found = problems(conversion_time=None, conversion_timestamp="1795600000000")

    assert found == ['Expected Long, got "1795600000000" for conversion_timestamp']


def test_conversion_without_a_time_is_refused():
    answer = answer_of(a_judge(), a_conversion(conversion_time=None))

    message = '"conversion_time" is a required parameter'
    assert answer == (400, refused(("MISSING_PARAMETER", message, "conversion_time")))


def test_age_of_a_conversion_is_unlimited_by_default():
    old = {"conversion_time": "2020-01-01T00:00:00.000Z"}

    assert (problems(**old), problems("max_age=3600", **old)) == (
        [],
        ["conversion_time is too old"],
    )


def test_conversion_time_in_the_future_is_accepted_by_default():
    ahead = {"conversion_time": "2030-01-01T00:00:00.000Z"}

    found = (problems(**ahead), problems("max_future=60", **ahead))
    assert found == ([], ["conversion_time is in the future"])


def test_switch_time_precedence_decides_which_time_has_the_age():
    both = {"conversion_time": "2020-01-01T00:00:00.000Z", "conversion_timestamp": 1795600000000}

    first = problems("max_age=3600", **both)
    second = problems("max_age=3600", "time_precedence=conversion_timestamp", **both)

    assert (first, second) == (["conversion_time is too old"], [])


@pytest.mark.parametrize("count", [1, 5, "3"])
def test_number_of_items_can_be_a_positive_integer(count):
    assert problems(number_items=count) == []


@pytest.mark.parametrize("count", [0, -1, "0"])
def test_number_of_items_below_one_is_refused(count):
    assert problems(number_items=count) == [f"number_items ({count}) must be greater than 0"]


@pytest.mark.parametrize("count", [1.5, True, "many"])
def test_number_of_items_of_another_type_is_refused(count):
    assert len(problems(number_items=count)) == 1


@pytest.mark.parametrize("currency", ["eur", "XXX", "XXX1", "EURO", "", 978])
def test_currency_must_be_an_iso_code_in_use(currency):
    assert len(problems(price_currency=currency)) == 1


def test_check_of_currencies_can_be_relaxed():
    found = [
        len(problems(f"currency_check={check}", price_currency=currency))
        for check, currency in [("shape", "XXX"), ("shape", "eur"), ("off", "eur")]
    ]

    assert found == [0, 1, 0]


@pytest.mark.parametrize("name", ["conversion_id", "description", "search_string"])
def test_text_field_must_be_a_text(name):
    assert problems(**{name: 5}) == [f'Expected String, got "5" for {name}']


@pytest.mark.parametrize("group", ["group 1", "123", 123])
def test_content_group_id_can_be_a_text_or_an_integer(group):
    assert problems(contents=[{"content_group_id": group}]) == []


@pytest.mark.parametrize("contents", [{}, "x", ["x"], [{"content_id": 5}], [{"num_items": 0}]])
def test_malformed_contents_are_refused(contents):
    assert len(problems(contents=contents)) == 1


def test_restricted_data_use_has_two_allowed_values():
    found = [
        len(problems(restricted_data_use=value)) for value in ("restrict_optimization", "off", "on")
    ]

    assert found == [0, 0, 1]


def test_switch_refuses_unknown_fields():
    found = problems("extra_fields=reject", event_source_url="https://shop.example/")

    assert found == ["event_source_url is not a known parameter"]


def test_unknown_fields_are_ignored_at_every_level_by_default():
    unknown = {
        "custom_data": {},
        "contents": [{"colour": "red"}],
        "identifiers": [{"twclid": "abc", "email": "x"}],
    }

    found = (problems(**unknown), len(problems("unknown_fields=reject", **unknown)))

    assert found == ([], 3)


@pytest.mark.parametrize(
    ("mode", "accepted"),
    [("gtm", [True, False]), ("any", [True, True]), ("off", [False, False])],
)
def test_switch_event_name_mode_decides_which_names_are_accepted(mode, accepted):
    found = [
        problems(f"event_name_mode={mode}", event_id=None, event_name=name) == []
        for name in ("gtm_purchase", "purchase")
    ]

    assert found == accepted


def test_refusal_quotes_hostile_values_unchanged():
    hostile = '{0} "><script>\x00 %s'

    status, document = answer_of(a_judge(), a_conversion(event_id=hostile))

    shown = document["errors"][1]["message"]
    assert (status, shown) == (404, f"event_id ({hostile}) is not a single event tag (SET)")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(spec.CONVERSION_FIELDS)


@given(st.dictionaries(FIELDS, VALUES, max_size=4))
def test_any_value_in_any_field_gets_a_response(changes):
    judge = a_judge("unknown_fields=reject", "max_age=60")

    answer = judge.answer(a_request(a_conversion() | changes)).answer

    assert answer.status in (200, 400, 404)


@pytest.mark.parametrize("name", ["identifiers", "contents"])
@given(
    value=st.lists(
        st.dictionaries(
            st.sampled_from((*spec.IDENTIFIER_FIELDS, *_CONTENT_CHECKS)), VALUES, max_size=3
        ),
        max_size=3,
    )
)
def test_any_conversion_gets_a_response(name, value):
    answer = a_judge().answer(a_request(a_conversion(**{name: value}))).answer

    assert answer.status in (200, 400)


def test_emulator_and_gateway_state_the_same_facts_of_x():
    # The emulator judges alone, with its own module of facts.
    shared = {name for name in vars(gateway_spec) if name.isupper()} & set(vars(spec))

    assert len(shared) > 30
    assert {name: getattr(spec, name) for name in shared} == {
        name: getattr(gateway_spec, name) for name in shared
    }
