"""Days of the account's time zone, with daylight saving time, and figures that settle."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from ads_requests import (
    an_advertiser,
    at,
    click,
    convert,
    errors,
    metrics,
    plant,
    purchases,
    rows_of,
    stats,
)

from twite_emulator.analytics.metrics import PLACEMENTS
from twite_emulator.analytics.periods import hours_of, midnight

HOUR = 3600
DAY = 24 * HOUR


def utc(epoch):
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Los_Angeles", date(2026, 11, 1), 25),
        ("Asia/Kolkata", date(2026, 3, 29), 24),
        ("Pacific/Kiritimati", date(2026, 3, 29), 24),
        ("UTC", date(2026, 3, 29), 24),
    ],
)
def test_day_of_the_account_has_23_to_25_hours(zone, day, hours):
    assert len(hours_of(day, ZoneInfo(zone))) == hours


def test_days_around_the_end_of_daylight_saving_time_begin_at_the_accounts_midnight():
    judge = an_advertiser(timezone="Europe/Berlin", now=at("2026-10-30T00:00"))
    spend = [
        {"line_item": "li1", "day": f"2026-10-{day}", "micros": day * 1_000_000}
        for day in (24, 25, 26)
    ]
    plant(judge, spend=spend)

    status, document = stats(
        judge,
        granularity="DAY",
        start_time="2026-10-23T22:00:00Z",
        end_time="2026-10-26T23:00:00Z",
        metric_groups="BILLING",
    )

    found = document["data"][0]["id_data"][0]["metrics"]["billed_charge_local_micro"]
    assert (status, found) == (200, [24_000_000, 25_000_000, 26_000_000])


@pytest.mark.parametrize("end", ["2026-10-25T22:00:00Z", "2026-10-26T00:00:00Z"])
def test_end_of_a_day_has_the_offset_of_that_day(end):
    judge = an_advertiser(timezone="Europe/Berlin", now=at("2026-10-30T00:00"))

    found = stats(judge, granularity="DAY", start_time="2026-10-24T22:00:00Z", end_time=end)

    assert errors(found) == (400, [("INVALID_PARAMETER", "end_time")])


def test_midnight_of_todays_offset_is_another_reading_of_x():
    judge = an_advertiser(
        "day_alignment=today", timezone="Europe/Berlin", now=at("2026-10-30T00:00")
    )
    accepted = stats(
        judge,
        granularity="DAY",
        start_time="2026-10-23T23:00:00Z",
        end_time="2026-10-25T23:00:00Z",
    )
    refused = stats(judge, granularity="DAY", start_time="2026-10-23T22:00:00Z")

    assert (accepted[0], accepted[1]["time_series_length"]) == (200, 2)
    assert errors(refused)[0] == 400


def test_date_without_a_time_is_the_accounts_midnight():
    judge = an_advertiser(timezone="Asia/Kolkata")

    _, document = stats(judge, granularity="DAY", start_time="2026-11-20", end_time="2026-11-21")

    assert document["request"]["params"]["start_time"] == "2026-11-19T18:30:00Z"


def test_midnight_of_a_zone_at_half_hours_is_a_whole_hour():
    judge = an_advertiser(timezone="Asia/Kolkata")

    accepted = stats(judge, start_time="2026-11-20T00:00:00%2B0530")[0]

    assert accepted == 200


def test_seven_days_with_25_hours_exceed_168_hours():
    zone = "Europe/Berlin"
    week = {"start_time": "2026-10-22T22:00:00Z", "end_time": "2026-10-29T23:00:00Z"}
    now = at("2026-10-30T00:00")

    by_hours = stats(an_advertiser(timezone=zone, now=now), granularity="DAY", **week)
    by_days = stats(
        an_advertiser("stats_range=days", timezone=zone, now=now), granularity="DAY", **week
    )

    assert (by_hours[0], by_days[0]) == (400, 200)


def test_total_may_have_to_begin_at_midnight():
    judge = an_advertiser("total_alignment=midnight")

    assert stats(judge, start_time="2026-11-20T01:00:00Z")[0] == 400


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_hours_days_and_placements_add_up_to_the_truth(zone, seed):
    draw = Random(seed)
    first = date(2026, 10, 23) if seed % 2 else date(2026, 3, 5)
    days = [first + timedelta(place) for place in range(6)]
    start, end = midnight(days[0], ZoneInfo(zone)), midnight(days[-1], ZoneInfo(zone))
    judge = an_advertiser(timezone=zone, now=end + 20 * DAY)
    clicks, spend = [], []
    for number in range(60):
        placement, item = draw.choice(PLACEMENTS), draw.choice(["li1", "li2"])
        when = draw.uniform(start - DAY, end)
        clicks.append(click(item, at=when, twclid=f"2-{number}", placement=placement))
        spend.append(
            {
                "line_item": item,
                "day": draw.choice(days).isoformat(),
                "micros": draw.randrange(10**8),
                "placement": placement,
            }
        )
    plant(judge, clicks=clicks, spend=spend)
    for number in range(60):
        moment = datetime.fromtimestamp(draw.uniform(start, end), UTC)
        convert(
            judge,
            conversion_time=moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            identifiers=[{"twclid": f"2-{number}"}],
            conversion_id=f"order-{number}",
            value=f"{draw.randrange(1, 9999)}.{draw.randrange(100):02}",
        )
    rows = rows_of(judge, since=days[0].isoformat(), until=days[-2].isoformat())
    expected = (
        sum(row["spend_micro"] for row in rows),
        sum(row["events"].get("PURCHASE", {}).get("attributed", 0) for row in rows),
        sum(row["events"].get("PURCHASE", {}).get("sale_amount_micro", 0) for row in rows),
    )

    assert expected[1]
    for granularity in ("TOTAL", "DAY", "HOUR"):
        spent = counted = amount = 0
        for placement in PLACEMENTS:
            asked = {
                "granularity": granularity,
                "placement": placement,
                "start_time": utc(start)
                if not utc(start).endswith("30:00Z")
                else days[0].isoformat(),
                "end_time": utc(end) if not utc(end).endswith("30:00Z") else days[-1].isoformat(),
                "metric_groups": "WEB_CONVERSION,BILLING",
            }
            for item in ("li1", "li2"):
                found = metrics(judge, entity_ids=item, **asked)
                spent += sum(found["billed_charge_local_micro"] or [])
                conversions = found["conversion_purchases"] or {"metric": [], "sale_amount": []}
                counted += sum(conversions["metric"])
                amount += sum(conversions["sale_amount"])
        assert (granularity, spent, counted, amount) == (granularity, *expected)


def test_figures_appear_after_the_delay():
    judge = an_advertiser("stats_delay=600", now=at("2026-11-20T12:00"))
    plant(judge, clicks=[click()])
    convert(judge)

    before = purchases(judge)
    judge.shift = 600

    assert (before, purchases(judge)["metric"]) == (None, [1])


def test_clicks_and_spend_appear_after_the_delay():
    judge = an_advertiser("stats_delay=600", now=at("2026-11-20T10:09"))
    plant(judge, clicks=[click()], spend=[{"line_item": "li1", "day": "2026-11-20", "micros": 24}])
    asked = {"metric_groups": "BILLING,ENGAGEMENT"}

    before = metrics(judge, **asked)
    judge.shift = 60
    after = metrics(judge, **asked)

    assert (before["clicks"], before["billed_charge_local_micro"]) == (None, [10])
    assert (after["clicks"], after["billed_charge_local_micro"]) == ([1], [11])


def test_estimates_settle_after_a_day():
    judge = an_advertiser("estimate_share=0.5", now=at("2026-11-20T12:00"))
    plant(judge, clicks=[click()])
    for number in range(100):
        convert(judge, conversion_id=f"order-{number}")

    estimate = purchases(judge)["metric"][0]
    judge.shift = DAY - 1
    still = purchases(judge)["metric"][0]
    judge.shift = DAY
    final = purchases(judge)["metric"][0]

    assert 30 < estimate < 70
    assert (still, final) == (estimate, 100)


@pytest.mark.parametrize(
    ("choice", "now", "counted"),
    [
        ("counted", "2026-11-21T13:01", 1),
        ("dropped", "2026-11-21T13:01", 0),
        ("dropped", "2026-11-21T13:00", 1),
        ("dropped", "2026-11-20T12:01", 1),
    ],
)
def test_conversion_that_arrives_after_its_hour_was_locked(choice, now, counted):
    judge = an_advertiser(f"late_conversions={choice}", now=at(now))
    plant(judge, clicks=[click()])
    convert(judge)

    found = [row["events"] for row in rows_of(judge)]

    assert len([events for events in found if events]) == counted
    assert bool(purchases(judge)) == bool(counted)


def test_spend_is_an_estimate_for_three_days():
    judge = an_advertiser("spend_excess=0.1", now=at("2026-11-21T00:00"))
    plant(judge, spend=[{"line_item": "li1", "day": "2026-11-20", "micros": 10_000}])
    asked = {"metric_groups": "BILLING"}

    found = []
    for shift in (0, 3 * DAY - 1, 3 * DAY):
        judge.shift = shift
        found += metrics(judge, **asked)["billed_charge_local_micro"]

    assert found == [11_000, 11_000, 10_000]


def test_spend_of_the_present_day_grows_by_the_hour():
    judge = an_advertiser(now=at("2026-11-20T05:30"))
    plant(judge, spend=[{"line_item": "li1", "day": "2026-11-20", "micros": 24}])

    assert metrics(judge, metric_groups="BILLING")["billed_charge_local_micro"] == [6]


def test_planting_a_day_again_corrects_its_spend():
    judge = an_advertiser()
    for micros in (24, 20):
        plant(judge, spend=[{"line_item": "li1", "day": "2026-11-20", "micros": micros}])

    assert metrics(judge, metric_groups="BILLING")["billed_charge_local_micro"] == [20]


@pytest.mark.parametrize(("choice", "day"), [("conversion", "2026-11-20"), ("touch", "2026-11-19")])
def test_conversion_counts_on_its_day_or_on_that_of_the_click(choice, day):
    judge = an_advertiser(f"attribution_day={choice}")
    plant(judge, clicks=[click(when="2026-11-19T10:00")])
    convert(judge)

    assert [str(row["day"]) for row in rows_of(judge) if row["events"]] == [day]
