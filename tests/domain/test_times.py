from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.fault import Fault
from twite.domain.times import DAY, LATEST, moment, spelled, time_limit

NOW = 1_795_600_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(text, now=NOW):
    found = moment(text, now=now, path="time")
    return found.code if isinstance(found, Fault) else spelled(found)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T10:00:00.000Z",
        "2026-11-24T10:00:00Z",
        "2026-11-24T10:00Z",
        "2026-11-24 10:00:00Z",
        "2026-11-24t10:00:00z",
        "2026-11-24T11:00:00+01:00",
        "2026-11-24T11:00:00+0100",
        "2026-11-24T11:00:00+01",
        "2026-11-24T10:00:00+00:00",
        "2026-11-24T10:00:00-00:00",
        "2026-11-24T02:00:00.000-08:00",
        "2026-11-24T15:30:00+05:30",
        "2026-11-25T00:00:00+14:00",
    ],
)
def test_every_form_of_a_time_zone_is_read(text):
    assert read(text) == "2026-11-24T10:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("2022-02-18T01:14:00.603Z", "2022-02-18T01:14:00.603Z"),
        ("2022-02-18T01:14:00.6Z", "2022-02-18T01:14:00.600Z"),
        ("2022-02-18T01:14:00,603Z", "2022-02-18T01:14:00.603Z"),
        ("2022-02-18T01:14:00.603999Z", "2022-02-18T01:14:00.603Z"),
        ("2022-02-18T01:14:00.603999999Z", "2022-02-18T01:14:00.603Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_milliseconds_of_a_time_are_kept_and_further_digits_dropped(text, spelling):
    assert read(text) == spelling


@pytest.mark.parametrize(
    "text", ["2022-06-16T01:14:00.603", "2022-06-16T01:14:00", "2022-06-16 01:14"]
)
def test_time_without_a_zone_is_explained(text):
    found = moment(text, now=NOW, path="time")

    assert found == Fault(
        path="time",
        code="not_a_time",
        message="a time without a zone: end it with Z (UTC) or an offset such as +01:00",
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "1795600000", "1795600000000", "2026-11-24", "2026-11-24Z", "10:00:00Z",
        "2026-11-24T24:00:00Z", "2026-11-24T23:59:60Z", "2026-11-24T10:60:00Z",
        "2026-02-29T10:00:00Z", "2026-13-01T10:00:00Z", "2026-00-01T10:00:00Z",
        "2026-11-31T10:00:00Z",
        "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00",
        "2026-11-24T10:00:00+24:00", "2026-11-24T10:00:00+01:60", "2026-11-24T10:00:00 CET",
        "Tue, 24 Nov 2026 10:00:00 GMT", "20261124T100000Z", "2026-W48-2T10:00:00Z",
        "2026-328T10:00:00Z",
        "2026-11-24T10:00:00.Z", "2026-11-24T10:00:00.1234567890Z", " 2026-11-24T10:00:00Z",
        "2026-11-24T10:00:00Z\n", "2026-11-24T10:00:00Z\x00", "٢٠٢٦-11-24T10:00:00Z",
    ],
)  # fmt: skip
def test_invalid_time_has_an_error_code(text):
    assert read(text) == "not_a_time"


def test_time_may_be_at_most_a_day_ahead():
    assert moment(spelled(NOW + DAY), now=NOW, path="time") == NOW + DAY
    assert read(spelled(NOW + DAY + 1)) == "time_in_future"


def test_every_year_from_1_to_9999_can_be_read():
    assert read("0001-01-01T00:00:00Z") == "0001-01-01T00:00:00.000Z"
    assert read("0999-12-31T00:00:00Z") == "0999-12-31T00:00:00.000Z"
    assert read("9999-12-31T23:59:59.999Z", LATEST) == "9999-12-31T23:59:59.999Z"
    assert read("9999-12-31T23:59:59-01:00", LATEST) == "not_a_time"


def test_message_about_a_time_does_not_contain_it():
    assert "bob" not in f"{moment('bob@example.com', now=NOW, path='time')}"


@given(st.integers(-62_135_596_800_000, LATEST))
def test_written_time_is_read_back(ms):
    assert moment(spelled(ms), now=LATEST, path="time") == ms


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),  # noqa: DTZ001  zoned below
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_time_of_one_moment_is_the_same_in_any_zone(naive, minutes):
    zoned = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (zoned - EPOCH) // timedelta(milliseconds=1)

    assert moment(zoned.isoformat(), now=LATEST, path="time") == expected


@given(st.text(max_size=40) | st.text("0123456789-:TZ.+ ", max_size=40))
def test_any_text_is_a_time_or_has_an_error_code(text):
    assert isinstance(read(text), str)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("today", "2026-11-25T00:00:00.000Z"),
        ("yesterday", "2026-11-24T00:00:00.000Z"),
        ("90m", "2026-11-25T08:16:40.000Z"),
        ("2h", "2026-11-25T07:46:40.000Z"),
        ("7d", "2026-11-18T09:46:40.000Z"),
        ("2026-11-24", "2026-11-24T00:00:00.000Z"),
        ("2026-11-24T10:00:00+01:00", "2026-11-24T09:00:00.000Z"),
        ("2099-01-01", "time_in_future"),
        ("2026-11-31", "not_a_time"),
        ("noon", "not_a_time"),
        ("-2h", "not_a_time"),
        ("", "not_a_time"),
    ],
)
def test_limit_of_a_list_is_a_word_a_span_a_day_or_a_time(text, found):
    read = time_limit(text, now=NOW, path="since")
    assert (read.code if isinstance(read, Fault) else spelled(read)) == found
