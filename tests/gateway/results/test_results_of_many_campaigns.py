"""An ads account with a thousand campaigns: exact figures within X's limits."""

from bisect import bisect_left

from results_stage import FetchStage, planted, spent
from twite.domain.destination import RATE_WINDOW
from twite.domain.results.stats_request import MOST_ENTITIES, PLACEMENTS
from twite.domain.times import HOUR, MINUTE
from twite.gateway.x_account.patient_inquiries import BUDGET
from twite.x.analytics import STATS_RATE

CAMPAIGNS = 1_000


def with_campaigns(stage):
    numbers = range(CAMPAIGNS)
    stage.x.judge.world.merge(
        {
            "campaigns": [{"id": f"d{n}", "funding_instrument": "lygyi"} for n in numbers],
            "line_items": [{"id": f"m{n}", "campaign": f"d{n}"} for n in numbers],
        }
    )
    for n in numbers:
        place = PLACEMENTS[n % len(PLACEMENTS)]
        spent(stage, f"2026-11-{28 - n % 2}", 1_000_000 + n, line_item=f"m{n}", placement=place)
        spent(stage, f"2026-11-{5 + n % 7:02}", 2_000_000 + n, line_item=f"m{n}", placement=place)
        if n % 10 == 0:
            planted(stage, ago=1 + n % 19, number=str(n), line_item=f"m{n}", placement=place)


async def test_thousand_campaigns_equal_x_s_within_its_limits():
    stage = FetchStage("job_limit=100", history=30)
    with_campaigns(stage)

    await stage.run()
    for _ in range(30):
        if not (await stage.account()).jobs:
            break
        await stage.clock.advance(MINUTE)
        await stage.run()

    assert await stage.figures() == stage.x.truth()
    assert len({campaign for _, campaign in stage.x.truth()}) == CAMPAIGNS
    assert (await stage.account()).problem == ""
    assert {status for *_, status in stage.x.asked} <= {200, 201}
    ids = [query["entity_ids"].split(",") for _, query in stage.x.queries if "entity_ids" in query]
    assert max(map(len, ids)) == MOST_ENTITIES
    times = [at for at, *_ in stage.x.asked]
    # One more, if the window begins with a request.
    assert max(asked_from(at, times) for at in times) <= BUDGET + 1 < STATS_RATE
    # A fetch of so many ends before the next one is due.
    again = len(times)
    await stage.clock.advance(HOUR)
    begin = stage.clock.now()
    await stage.run()
    assert len(stage.x.asked) - again >= CAMPAIGNS / MOST_ENTITIES * len(PLACEMENTS) * 2
    assert stage.clock.now() - begin < HOUR


def asked_from(at, times):
    """How many requests X gets in the time of its limit."""
    return bisect_left(times, at + RATE_WINDOW) - bisect_left(times, at)


async def test_yesterday_is_fetched_with_each_hour():
    """X changes its figures until they are a day old."""
    stage = FetchStage("stats_delay=0", history=0)
    planted(stage, number="1")
    await stage.run()
    await stage.clock.advance(2 * HOUR)
    await stage.run()
    spent(stage, "2026-11-28", 5_000_000)

    await stage.clock.advance(HOUR)
    await stage.run()

    assert await stage.figures() == stage.x.truth()
