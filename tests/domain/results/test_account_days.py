"""Days of an ads account: midnight to midnight in its zone, also when clocks change."""

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from twite.domain.results.account_days import (
    account_day,
    blocks,
    day_at,
    days_until,
    spelled_hour,
)
from twite.domain.times import DAY, HOUR

# Clocks change at 1, 2 and 3 o'clock, at midnight, by half an hour; one has no change, one skipped
# a whole day.
ZONES = [
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Havana",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]
zones = st.sampled_from(ZONES).map(ZoneInfo)
times = st.integers(min_value=1_262_304_000_000, max_value=1_893_456_000_000)  # 2010 to 2029


@given(now=times, zone=zones, count=st.integers(min_value=1, max_value=95))
def test_days_follow_each_other_without_gaps_up_to_now(now, zone, count):
    days = days_until(now, count, zone)

    assert len(days) == count
    assert all(day.end == after.start for day, after in pairwise(days))
    assert days[-1].start <= now < days[-1].end
    assert [day_at(day.start, zone).isoformat() for day in days if day.end > day.start] == [
        day.day for day in days if day.end > day.start
    ]


@given(now=times, zone=zones, count=st.integers(min_value=1, max_value=95))
def test_blocks_hold_every_day_once_and_no_block_is_longer_than_its_limit(now, zone, count):
    days = days_until(now, count, zone)
    found = blocks(days, most=7)

    assert [day for block in found for day in block] == days
    assert all(block[-1].end - block[0].start <= 7 * DAY for block in found)
    assert len(found) <= count // 6 + 1


@given(now=times, zone=zones)
def test_midnight_is_spelled_with_whole_hours_of_utc_or_of_the_zone(now, zone):
    day = days_until(now, 1, zone)[0]
    text = spelled_hour(day.start, zone)

    assert dt.datetime.fromisoformat(text).timestamp() * 1_000 == day.start
    assert text[13:19] == ":00:00"


def test_days_on_which_clocks_change_have_23_and_25_hours():
    berlin = ZoneInfo("Europe/Berlin")
    spring = account_day(dt.date(2026, 3, 29), berlin)
    autumn = account_day(dt.date(2026, 10, 25), berlin)

    assert (spring.end - spring.start, autumn.end - autumn.start) == (23 * HOUR, 25 * HOUR)


def test_a_week_with_a_day_of_25_hours_is_split():
    berlin = ZoneInfo("Europe/Berlin")
    now = int(dt.datetime(2026, 10, 26, 12, tzinfo=berlin).timestamp()) * 1_000
    found = blocks(days_until(now, 7, berlin), most=7)

    assert [len(block) for block in found] == [6, 1]


def test_a_gap_begins_another_block():
    days = days_until(1_795_600_000_000, 5, ZoneInfo("UTC"))

    assert [len(block) for block in blocks([*days[:2], *days[3:]], most=7)] == [2, 2]
