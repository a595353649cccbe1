"""Time ranges of pages, in the viewer's zone."""

import locale
import subprocess
import sys
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from twite.console.page import FormData
from twite.console.time_range import (
    RANGES,
    REVERSED,
    UNREADABLE,
    day_name,
    day_start,
    named,
    time_range_of,
)
from twite.domain.times import HOUR

BERLIN = ZoneInfo("Europe/Berlin")
HAVANA = ZoneInfo("America/Havana")
AUCKLAND = ZoneInfo("Pacific/Auckland")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def chosen(query: str, *, now: str = "2026-12-02T10:30:20", zone: ZoneInfo = BERLIN):
    return time_range_of(FormData(query), zone=zone, now=ms(now))


@pytest.mark.parametrize(
    ("when", "since", "until"),
    [
        ("hour", "2026-12-02T09:30", None),
        ("today", "2026-12-01T23:00", None),
        ("yesterday", "2026-11-30T23:00", "2026-12-01T23:00"),
        ("7d", "2026-11-25T23:00", None),
        ("last-week", "2026-11-22T23:00", "2026-11-29T23:00"),
        ("30d", "2026-11-02T23:00", None),
        ("all", None, None),
    ],
)
def test_named_range_is_of_the_days_in_the_viewers_zone(when, since, until):
    found = chosen(f"when={when}")

    assert (found.since, found.until) == (since and ms(since), until and ms(until))
    assert (found.title, found.query) == (RANGES[when], f"when={when}")


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-29", 23), ("2026-03-30", 24), ("2026-10-25", 25)],
)
def test_day_on_which_clocks_change_has_23_or_25_hours(day, hours):
    found = chosen(f"from={day}&to={day}")

    assert found.until - found.since == hours * HOUR


@pytest.mark.parametrize(
    ("now", "since"),
    [
        ("2026-03-29T21:59", "2026-03-28T23:00"),
        ("2026-10-25T22:59", "2026-10-24T22:00"),
    ],
)
def test_today_lasts_until_local_midnight_when_clocks_change(now, since):
    assert chosen("when=today", now=now).since == ms(since)


def test_day_begins_at_the_change_of_clocks_that_skips_midnight():
    # On 8 March 2026, clocks in Havana went from 0:00 to 1:00; on 1 November from 1:00 to 0:00.
    assert day_start(date(2026, 3, 8), HAVANA) == ms("2026-03-08T05:00")
    assert day_start(date(2026, 11, 1), HAVANA) == ms("2026-11-01T04:00")


@pytest.mark.parametrize("day", range(7))
def test_last_week_is_from_monday_to_sunday_on_each_day_of_this_week(day):
    now = ms("2026-11-30T12:00") + day * 24 * HOUR

    found = named("last-week", zone=ZoneInfo("UTC"), now=now)

    assert (found.since, found.until) == (ms("2026-11-23T00:00"), ms("2026-11-30T00:00"))


def test_today_is_already_tomorrow_on_the_other_side_of_the_date_line():
    assert chosen("when=today", zone=AUCKLAND).since == ms("2026-12-01T11:00")
    assert chosen("when=today", now="2026-12-02T11:00", zone=AUCKLAND).since == ms(
        "2026-12-02T11:00"
    )


def test_minutes_are_read_in_the_viewers_zone_and_the_end_is_not_included():
    found = chosen("from=2026-11-25T09:00&to=2026-11-25T10:30")

    assert (found.since, found.until) == (ms("2026-11-25T08:00"), ms("2026-11-25T09:30"))
    assert found.title == "From 2026-11-25 09:00 to 2026-11-25 10:30"
    assert found.query == "from=2026-11-25T09:00&to=2026-11-25T10:30"


def test_hour_that_clocks_repeat_is_included_whole():
    found = chosen("from=2026-10-25T02:00&to=2026-10-25T03:00")

    assert found.until - found.since == 2 * HOUR


def test_each_end_may_be_open():
    assert chosen("from=2026-11-25").until is None
    assert chosen("to=2026-11-25").since is None


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("from=yesterday", UNREADABLE),
        ("from=2026-02-30", UNREADABLE),
        ("to=2026-11-25T25:00", UNREADABLE),
        ("to=9999-12-31", UNREADABLE),
        ("from=2026-11-26&to=2026-11-25", REVERSED),
        ("from=2026-11-26T10:00&to=2026-11-26T10:00", REVERSED),
    ],
)
def test_unreadable_range_falls_back_to_the_default_and_says_why(query, problem):
    found = chosen(query)

    assert (found.name, found.problem) == ("7d", problem)
    assert found.typed_from or found.typed_to


def test_unknown_name_is_the_default():
    assert chosen("when=tomorrow").name == "7d"


def test_month_names_do_not_depend_on_the_locale():
    before = locale.setlocale(locale.LC_TIME)
    try:
        for name in ("de_DE.UTF-8", "tr_TR.UTF-8", "C"):
            try:
                locale.setlocale(locale.LC_TIME, name)
            except locale.Error:
                continue
            assert day_name(date(2026, 5, 3)) == "3 May"
    finally:
        locale.setlocale(locale.LC_TIME, before)


def test_zones_are_known_on_a_machine_without_a_time_zone_database():
    program = "from zoneinfo import *; reset_tzpath(()); print(ZoneInfo('Europe/Berlin'))"

    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert found.stdout == "Europe/Berlin\n", found.stderr
