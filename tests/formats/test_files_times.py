from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.formats.files.cells import Moment, read_moment
from twite.formats.files.findings import RowFinding

LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("2026-11-22T06:00:52Z", "2026-11-22T06:00:52.000Z"),
        ("2026-11-22T06:02:02.891Z", "2026-11-22T06:02:02.891Z"),
        ("2026-11-21T22:05:19.541000-08:00", "2026-11-22T06:05:19.541Z"),
        ("1795327307", "2026-11-22T06:01:47.000Z"),
        ("1795327826165", "2026-11-22T06:10:26.165Z"),
        ("1795327826165999", "2026-11-22T06:10:26.165Z"),
        ("1795327307.25", "2026-11-22T06:01:47.250Z"),
        ("2026-11-22 06:00:52 +0000", "2026-11-22T06:00:52.000Z"),
        ("2026-11-22 06:00:52 UTC", "2026-11-22T06:00:52.000Z"),
        ("2026/11/22 06:00+01", "2026-11-22T05:00:00.000Z"),
        ("22.11.2026 06:00 +0100", "2026-11-22T05:00:00.000Z"),
        ("2026-11-22T06:00:52,891Z", "2026-11-22T06:00:52.891Z"),
    ],
)
def test_time_with_a_zone_is_read_in_every_spelling(cell, text):
    assert read_moment(cell, zone=None) == Moment(text=text)


@pytest.mark.parametrize("cell", ["2026-11-22T06:00:52", "2026-11-22", "22.11.2026 06:00"])
def test_time_without_a_zone_is_refused_with_a_fix(cell):
    refused = read_moment(cell, zone=None)

    assert isinstance(refused, RowFinding)
    assert refused.code == "not_a_time"
    assert "--timezone" in refused.message


def test_zone_option_applies_to_times_without_a_zone():
    assert read_moment("2026-07-01 12:00", zone=LONDON) == Moment(text="2026-07-01T11:00:00.000Z")
    assert read_moment("2026-07-01 12:00Z", zone=LONDON) == Moment(text="2026-07-01T12:00:00.000Z")


@pytest.mark.parametrize(
    ("cell", "text", "code"),
    [
        ("2026-11-22", "2026-11-22T12:00:00.000Z", "time_of_day_missing"),
        ("2026-10-25 01:30", "2026-10-25T00:30:00.000Z", "clock_change"),
        ("2026-03-29 01:30", "2026-03-29T01:30:00.000Z", "clock_change"),
    ],
)
def test_adjusted_time_of_a_row_is_noted(cell, text, code):
    moment = read_moment(cell, zone=LONDON)

    assert moment.text == text
    assert moment.finding.code == code


@pytest.mark.parametrize(
    "cell",
    ["11/22/2026", "22/11/2026 06:00", "46348.25", "yesterday", "2026-13-01Z", "2026-11-22T25:00Z",
     "1795327", "2026-11-22T06:00:60Z", "2026-11-22T06:00+99:00", "0001-01-01T00:00+01:00",
     "9999-12-31T23:59-01:00", "9999-12-31 23:59:59-00:01",
     "\uff12\uff10\uff12\uff16-11-22T06:00Z"],
)  # fmt: skip
def test_invalid_or_ambiguous_time_in_a_file_is_refused(cell):
    refused = read_moment(cell, zone=LONDON)

    assert isinstance(refused, RowFinding)
    assert refused.code == "not_a_time"


@given(st.text(max_size=40))
def test_any_text_in_a_time_column_is_a_time_or_refused(text):
    assert isinstance(read_moment(text, zone=LONDON), Moment | RowFinding)
