"""Thirty simulated days: a cut-over, estimates that settle, an outage, and jobs that expire.

At the end, the figures equal what the emulated X finally attributes and charges, and no request
came before a reset that X had named.
"""

from zoneinfo import ZoneInfo

from msgspec.structs import replace

from results_stage import ACCOUNT, NOON, FetchStage
from twite.domain.results.account_days import day_at
from twite.domain.results.report import ReportBasis, account_results
from twite.domain.results.sale_amounts import SaleAmountUnit
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.results.records import load_days

BEGIN = NOON - 45 * DAY  # 15 October: clocks in Berlin go back on the 25th
ZONE = ZoneInfo("Europe/Berlin")
OUTAGE = range(12, 14)
CUT_OVER = 15
DAYS = 30


class Shop:
    """Sells four orders a day: before the cut-over, only the first campaign's clicks are known."""

    def __init__(self, stage):
        self._stage = stage
        self._number = 0

    def sell(self, day, now):
        for order in range(4):
            self._number += 1
            at = now - order * HOUR
            self._stage.x.plant(
                clicks=[
                    {
                        "line_item": f"li{1 + order % 2}",
                        "at": (at - 5 * HOUR) / SECOND,
                        "twclid": f"click{self._number}",
                        "placement": ("ALL_ON_TWITTER", "SPOTLIGHT", "TREND")[order % 3],
                    }
                ]
            )
            has_click = day >= CUT_OVER or order == 0
            click = f"click{self._number}" if has_click else f"other{self._number}"
            status = self._stage.x.convert(
                str(self._number), at=at, identifiers=[{"twclid": click}], value=f"{10 + order}.50"
            )
            assert status == 200
            if day >= CUT_OVER:
                self._stage.deliveries.delivered.append(at)
        today = day_at(now, ZONE).isoformat()
        self._stage.x.plant(
            spend=[
                {"line_item": f"li{1 + order}", "day": today, "micros": 7_000_000 + day + order}
                for order in range(2)
            ]
        )


async def test_figures_equal_x_s_after_thirty_days_with_faults():
    stage = FetchStage(
        "estimate_share=0.5",
        "spend_excess=0.2",
        "stats_delay=3600",
        "job_ttl=30",
        "expired_job=gone",
        now=BEGIN,
        timezone="Europe/Berlin",
        history=20,
    )
    shop = Shop(stage)
    for ago in range(18, 15, -1):  # figures from before the first fetch, which jobs bring
        shop.sell(0, BEGIN - ago * DAY)
    await stage.run()
    for _ in range(3):  # their files expire before they are fetched
        await stage.clock.advance(2 * MINUTE)
        await stage.run()
    expired = max(job.tries for job in (await stage.account()).jobs)
    stage.x.judge.switches = replace(stage.x.judge.switches, job_ttl=172_800)

    resets = []
    estimates = 0
    for day in range(DAYS):
        shop.sell(day, stage.clock.now())
        for hour in range(24):
            if day in OUTAGE:
                stage.x.faults.append(("/12/accounts", 500, {}))
            elif hour == 7:
                reset = stage.clock.now() // SECOND + HOUR // SECOND + 600
                resets.append((stage.clock.now(), reset * SECOND))
                stage.x.faults.append(
                    (f"stats/accounts/{ACCOUNT}", 429, {"x-rate-limit-reset": str(reset)})
                )
            await stage.pass_time(HOUR)
        estimates += await stage.figures() != stage.x.truth()
    stage.x.faults.clear()
    await stage.pass_time(5 * DAY)

    assert expired > 0
    assert estimates > DAYS // 2  # X's figures did change later
    assert await stage.figures() == stage.x.truth()
    assert len(await stage.figures()) > 2 * DAYS
    assert [
        at
        for at, *_ in stage.x.asked
        for limited, reset in _limited(stage.x.asked, resets)
        if limited < at < reset
    ] == []
    days = await load_days(stage.state, ACCOUNT)
    assert all(day.is_spend_final for day in days[:-4])
    cut_over = day_at(BEGIN + CUT_OVER * DAY, ZONE).isoformat()
    report = account_results(
        ReportBasis(
            account=await stage.account(),
            matched=[],
            unit=SaleAmountUnit.MICRO,
            cut_over=cut_over,
        ),
        days,
        (),
    )
    before, after = (
        next(event for event in part.events if event.event_type == "PURCHASE")
        for part in (report.total_before_cut_over, report.total_after_cut_over)
    )
    assert before.delivered == 0
    assert after.delivered == 4 * (DAYS - CUT_OVER) == after.attributed
    assert before.attributed == 3 + CUT_OVER


def _limited(asked, resets):
    """(time of a 429, the reset that it named)."""
    found = []
    for at, _, _, status in asked:
        if status == 429:
            found += [(at, reset) for _, reset in resets if reset > at][:1]
    return found
