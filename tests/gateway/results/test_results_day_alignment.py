"""Days around a change of the clocks: X documents two midnights for them, and both must do."""

import datetime as dt
from random import Random
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from results_stage import ACCOUNT, FetchStage
from twite.domain.times import DAY, HOUR, MINUTE, SECOND

PLACEMENTS = ("ALL_ON_TWITTER", "SPOTLIGHT", "TREND")
STATS = f"/12/stats/accounts/{ACCOUNT}"
# The day of the change, and how many hours it has.
CHANGES = [
    ("Europe/Berlin", dt.date(2026, 10, 25), 25),
    ("Europe/Berlin", dt.date(2026, 3, 29), 23),
    ("America/Los_Angeles", dt.date(2026, 11, 1), 25),
    ("America/St_Johns", dt.date(2026, 3, 8), 23),
    ("Pacific/Auckland", dt.date(2026, 9, 27), 23),
]


def noon(day, zone):
    at = dt.datetime.combine(day, dt.time(12), ZoneInfo(zone))
    return int(at.timestamp()) * SECOND


async def sell_by_chance(stage, *, draw, zone, first, days):
    """Plant spend of each day, and orders at any hour, also of those that exist twice."""
    for ago in range(days):
        day = first + dt.timedelta(ago)
        stage.x.plant(
            spend=[
                {
                    "line_item": f"li{1 + place % 2}",
                    "day": day.isoformat(),
                    "micros": draw.randrange(1, 10**8),
                    "placement": placement,
                }
                for place, placement in enumerate(PLACEMENTS)
            ]
        )
    begin = noon(first, zone) - 12 * HOUR
    end = stage.clock.now() - HOUR
    for number in range(8 * days):
        at = draw.randrange(begin, end) // SECOND * SECOND
        click = {
            "line_item": draw.choice(["li1", "li2"]),
            "at": (at - 3 * HOUR) / SECOND,
            "twclid": f"click{number}",
            "placement": draw.choice(PLACEMENTS),
        }
        stage.x.plant(clicks=[click])
        assert stage.x.convert(str(number), at=at, value=f"{draw.randrange(1, 900)}.50") == 200
    await stage.clock.advance(MINUTE)


async def fetch_all(stage):
    await stage.run()
    for _ in range(5):
        await stage.clock.advance(MINUTE)
        await stage.run()


@pytest.mark.parametrize("alignment", ["day", "today"])
@pytest.mark.parametrize("after", [0, 1, 2, 9, 20, 40])
@pytest.mark.parametrize(("zone", "change", "hours"), CHANGES)
async def test_figures_of_each_day_equal_x_s_by_either_midnight(
    zone, change, hours, after, alignment
):
    now = noon(change + dt.timedelta(after), zone)
    stage = FetchStage(f"day_alignment={alignment}", now=now, timezone=zone, history=50)
    first = change - dt.timedelta(4)
    await sell_by_chance(stage, draw=Random(after), zone=zone, first=first, days=4 + min(after, 4))

    await fetch_all(stage)

    account = await stage.account()
    assert (account.problem, account.jobs, account.unreadable) == ("", (), ())
    assert await stage.figures() == stage.x.truth()
    assert len(await stage.figures()) >= 2 * 4
    changed = (await stage.days())[change.isoformat()]
    assert changed.end - changed.start == hours * HOUR


async def test_job_that_was_planned_before_the_clocks_changed_is_created_after_it():
    zone, change = "Europe/Berlin", dt.date(2026, 10, 25)
    now = noon(change - dt.timedelta(1), zone)
    stage = FetchStage("day_alignment=today", "job_limit=0", now=now, timezone=zone)
    first = change - dt.timedelta(20)
    await sell_by_chance(stage, draw=Random(1), zone=zone, first=first, days=20)
    await stage.run()
    planned = (await stage.account()).jobs

    stage.x.judge.switches = replace(stage.x.judge.switches, job_limit=100)
    await stage.clock.advance(2 * DAY)
    await fetch_all(stage)

    assert planned
    assert (await stage.account()).problem == ""
    assert await stage.figures() == stage.x.truth()


async def test_days_are_asked_by_hour_only_where_the_two_midnights_differ():
    stage = FetchStage(now=noon(dt.date(2026, 11, 2), "Europe/Berlin"), timezone="Europe/Berlin")
    await sell_by_chance(
        stage, draw=Random(2), zone="Europe/Berlin", first=dt.date(2026, 10, 22), days=11
    )

    await stage.run()

    asked = {
        query["start_time"][:10]: query["granularity"]
        for path, query in stage.x.queries
        if path == STATS
    }
    assert set(asked.values()) == {"DAY", "HOUR"}
    assert {day for day, granularity in asked.items() if granularity == "DAY"} == {"2026-10-26"}
