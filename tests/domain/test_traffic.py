"""Whether a source is silent for unusually long."""

from twite.domain.stats.traffic import HourlyTraffic, noted, silence
from twite.domain.times import DAY, HOUR, MINUTE

# A Monday, 00:00 UTC.
MONDAY = 20_786 * DAY
FIRST = MONDAY // HOUR


def an_hour(hour, *, count=10, first=0, last=59):
    at = hour * HOUR
    return HourlyTraffic(
        source="shop",
        hour=hour,
        count=count,
        first_at=at + first * MINUTE,
        last_at=at + last * MINUTE,
        received=0,
    )


def office_hours(weeks, *, count=10):
    """From Monday to Friday, nine to five."""
    return [
        an_hour(FIRST + (7 * week + day) * 24 + hour, count=count)
        for week in range(weeks)
        for day in range(5)
        for hour in range(9, 17)
    ]


def at(week, day, hour):
    return MONDAY + ((7 * week + day) * 24 + hour) * HOUR


def silence_of(hours, now, since=0):
    return silence(hours, now=now, since=since)


def test_unused_source_is_never_unusually_silent():
    assert silence_of([], at(0, 0, 9)) is None


def test_source_known_for_less_than_a_week_is_never_unusually_silent():
    assert silence_of(office_hours(1), at(3, 0, 0)) is None


def test_usual_silence_of_a_weekend_is_not_unusual():
    assert not silence_of(office_hours(2), at(2, 0, 8)).unusual


def test_twice_the_longest_silence_is_unusual():
    # Friday 16:59 to Monday 09:00 is 64 hours and a minute.
    hours = office_hours(2, count=1)
    last = hours[-1].last_at

    assert [
        silence_of(hours, last + 2 * (64 * HOUR + MINUTE) + more).unusual for more in (0, 1)
    ] == [
        False,
        True,
    ]


def test_one_long_silence_does_not_make_the_next_one_usual():
    assert silence_of(office_hours(2), at(9, 0, 0)).unusual


def test_silence_of_a_shop_open_day_and_night_is_unusual_within_two_hours():
    hours = [an_hour(FIRST + hour, count=60) for hour in range(10 * 24)]
    last = hours[-1].last_at

    found = [silence_of(hours, last + hours_later * HOUR + 1).unusual for hours_later in (0, 1)]

    assert found == [False, True]


def test_silence_of_a_busy_office_is_unusual_on_the_same_day():
    hours = [
        office_hour
        for office_hour in office_hours(2, count=60)
        if office_hour.hour < FIRST + (7 + 4) * 24
    ]
    # It is Friday; the same hours of last Friday brought 120 conversions.
    found = silence_of(hours, at(1, 4, 11))

    assert (found.expected, found.unusual) == (120, True)


def test_few_missing_conversions_are_not_unusual():
    hours = [
        office_hour
        for office_hour in office_hours(2, count=60)
        if office_hour.hour < FIRST + (7 + 4) * 24
    ]

    assert not silence_of(hours, at(1, 4, 10)).unusual


def test_time_before_the_gateway_started_is_not_silence():
    found = silence_of(office_hours(2), at(9, 0, 0), since=at(8, 6, 23))

    assert (found.lasts, found.unusual) == (HOUR, False)


def test_expected_conversions_count_each_hour_of_the_last_week_once():
    found = silence_of(office_hours(2), at(4, 0, 0))

    assert found.expected == 5 * 8 * 10


def test_conversions_counted_before_the_first_reading_count_as_one():
    assert noted({}, {"shop": 5_000}, now=FIRST * HOUR + 7) == [
        HourlyTraffic(
            source="shop",
            hour=FIRST,
            count=1,
            first_at=FIRST * HOUR + 7,
            last_at=FIRST * HOUR + 7,
            received=5_000,
        )
    ]


def test_source_without_conversions_is_not_stored():
    assert noted({}, {"shop": 0}, now=MONDAY) == []


def test_new_conversions_are_counted_in_their_hour():
    before = HourlyTraffic(
        source="shop", hour=FIRST, count=3, first_at=MONDAY, last_at=MONDAY, received=10
    )

    [same] = noted({"shop": before}, {"shop": 14}, now=MONDAY + MINUTE)
    [next_] = noted({"shop": same}, {"shop": 15}, now=MONDAY + HOUR)

    assert (same.count, same.last_at, same.received) == (7, MONDAY + MINUTE, 14)
    assert (next_.hour, next_.count, next_.first_at) == (FIRST + 1, 1, MONDAY + HOUR)


def test_reading_without_new_conversions_changes_nothing():
    before = an_hour(FIRST)

    assert noted({"shop": before}, {"shop": 0}, now=MONDAY + DAY) == []


def test_conversions_after_the_clock_was_set_back_count_in_the_latest_hour():
    before = HourlyTraffic(
        source="shop", hour=FIRST, count=1, first_at=MONDAY, last_at=MONDAY, received=1
    )

    [found] = noted({"shop": before}, {"shop": 3}, now=MONDAY - 5 * HOUR)

    assert (found.hour, found.count, found.last_at) == (FIRST, 3, MONDAY)


def test_counting_continues_from_a_counter_that_became_smaller():
    before = HourlyTraffic(
        source="shop", hour=FIRST, count=4, first_at=MONDAY, last_at=MONDAY, received=90
    )

    [found] = noted({"shop": before}, {"shop": 10}, now=MONDAY + DAY)

    assert (found.count, found.last_at, found.received) == (4, MONDAY, 10)
