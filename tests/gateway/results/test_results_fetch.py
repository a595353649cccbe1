"""Fetching X's results from an emulated X: what is asked, when, and what is stored."""

import pytest
from msgspec.structs import replace

from builders import a_destination, a_destination_with_oauth
from results_stage import (
    ACCOUNT,
    ACTIVE,
    NOON,
    FetchStage,
    asked,
    planted,
    spent,
)
from twite.domain.destination import PixelToken
from twite.domain.results.account import JobStatus
from twite.domain.secret import Secret
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.rate_limiter import RateLimiter
from twite.gateway.results.fetch import signed_in_accounts


async def test_figures_of_all_placements_and_campaigns_equal_x_s():
    stage = FetchStage()
    planted(stage, number="1", placement="TREND")
    planted(stage, number="2", placement="SPOTLIGHT")
    planted(stage, number="3", line_item="li2")
    spent(stage, "2026-11-28", 12_340_000, placement="TREND")
    spent(stage, "2026-11-28", 660_000)

    assert await stage.run()

    assert await stage.figures() == stage.x.truth()
    account = await stage.account()
    assert [(each.name, each.currency) for each in account.campaigns] == [
        ("Autumn", "EUR"),
        ("Winter", "EUR"),
    ]
    assert account.event_types["o8z6k"] == "PURCHASE"
    assert (account.zone, account.problem, account.unreadable) == ("Europe/London", "", ())


async def test_only_campaigns_whose_figures_changed_are_asked_for():
    stage = FetchStage()
    await stage.run()

    assert asked(stage) == []
    assert len(asked(stage, ACTIVE)) == 2  # the last days, and those before for a job
    days = await stage.days()
    assert len(days) == 30
    assert all(day.fetched_at for day in days.values())


async def test_results_are_fetched_again_after_an_hour():
    stage = FetchStage(history=0)
    await stage.run()
    assert not await stage.run()

    await stage.clock.advance(HOUR)

    assert await stage.run()
    assert len(asked(stage, ACTIVE)) == 2


async def test_day_of_25_hours_is_one_day_of_figures():
    # On 25 October 2026, clocks in Berlin go back.
    stage = FetchStage(now=1_793_019_600_000, timezone="Europe/Berlin", history=0)
    for ago in range(6):
        planted(stage, ago=ago, number=str(ago))

    await stage.run()

    assert await stage.figures() == stage.x.truth()
    hours = {day.day: (day.end - day.start) // HOUR for day in (await stage.days()).values()}
    assert hours["2026-10-25"] == 25


@pytest.mark.parametrize("timezone", ["Asia/Kolkata", "America/St_Johns", "Pacific/Auckland"])
async def test_days_of_other_zones_equal_x_s(timezone):
    stage = FetchStage(timezone=timezone, history=0)
    for ago in range(4):
        planted(stage, ago=ago, number=str(ago))

    await stage.run()

    assert await stage.figures() == stage.x.truth()


async def test_more_than_twenty_campaigns_are_asked_in_several_requests():
    stage = FetchStage(history=0)
    stage.x.judge.world.merge(
        {
            "campaigns": [{"id": f"d{n}", "funding_instrument": "lygyi"} for n in range(25)],
            "line_items": [{"id": f"m{n}", "campaign": f"d{n}"} for n in range(25)],
        }
    )
    for n in range(25):
        planted(stage, number=str(n), line_item=f"m{n}")

    await stage.run()

    assert len(asked(stage)) == 2 * 3 * 2  # chunks, placements, groups
    assert await stage.figures() == stage.x.truth()


async def test_own_budget_is_kept_over_time():
    stage = FetchStage(history=0, budget=RateLimiter(size=4, per=15 * MINUTE))
    planted(stage)

    await stage.run()

    times = [at for at, *_ in stage.x.asked]
    assert max(sum(at <= other < at + 15 * MINUTE for other in times) for at in times) <= 2 * 4
    assert await stage.figures() == stage.x.truth()


async def test_older_days_are_fetched_by_jobs():
    stage = FetchStage(history=60)
    for ago in (1, 20, 40, 55):
        planted(stage, ago=ago, number=str(ago), line_item="li2" if ago == 40 else "li1")

    await stage.run()
    jobs = (await stage.account()).jobs
    assert {job.status for job in jobs} == {JobStatus.PROCESSING}
    assert len(jobs) == 6  # placements and groups; both campaigns in one
    await stage.clock.advance(MINUTE)
    await stage.run()

    assert (await stage.account()).jobs == ()
    assert await stage.figures() == stage.x.truth()
    assert len(await stage.days()) == 60


@pytest.mark.parametrize("switch", ["job_outcome=failed", "job_ttl=1"])
async def test_failed_or_expired_job_is_made_again(switch):
    stage = FetchStage(switch, "expired_job=gone")
    planted(stage, ago=20)
    await stage.run()
    created = stage.x.asked[-1][1]
    await stage.clock.advance(MINUTE)
    stage.x.judge.switches = replace(stage.x.judge.switches, job_outcome="success", job_ttl=172_800)
    await stage.run()
    assert (await stage.account()).jobs[0].tries == 1

    await stage.clock.advance(MINUTE)
    await stage.run()

    assert created == "POST"
    assert (await stage.account()).jobs == ()
    assert await stage.figures() == stage.x.truth()


async def test_job_that_x_does_not_finish_within_a_day_is_made_again():
    stage = FetchStage("job_seconds=100000000")
    planted(stage, ago=20)
    await stage.run()
    for _ in range(23):
        await stage.clock.advance(HOUR)
        await stage.run()
    assert {job.tries for job in (await stage.account()).jobs} == {0}

    stage.x.judge.switches = replace(stage.x.judge.switches, job_seconds=1)
    await stage.clock.advance(HOUR)
    await stage.run()
    jobs = (await stage.account()).jobs
    assert {(job.tries, job.fault) for job in jobs} == {(1, "X had not finished it after 24 hours")}
    await stage.clock.advance(MINUTE)
    await stage.run()

    assert (await stage.account()).jobs == ()
    assert await stage.figures() == stage.x.truth()


@pytest.mark.parametrize("history", [30, 60])
async def test_jobs_that_never_succeed_are_given_up_and_planned_again_the_next_day(history):
    stage = FetchStage("job_outcome=failed", history=history)
    for ago in range(20, history, 10):
        planted(stage, ago=ago, number=str(ago))
    await stage.run()
    problems = set()
    for _ in range(8):
        await stage.clock.advance(MINUTE)
        await stage.run()
        problems.add((await stage.account()).problem)
    assert (await stage.account()).jobs == ()
    assert any(
        "jobs of older days failed 5 times, and will be repeated within a day. The last time, X "
        "reported it as failed" in problem
        for problem in problems
    )

    stage.x.judge.switches = replace(stage.x.judge.switches, job_outcome="success")
    await stage.pass_time(25 * HOUR)

    assert await stage.figures() == stage.x.truth()


async def test_days_whose_jobs_failed_for_weeks_are_fetched_though_older_than_the_history():
    stage = FetchStage("job_outcome=failed", history=60)
    planted(stage, ago=55)
    await stage.pass_time(14 * DAY)

    stage.x.judge.switches = replace(stage.x.judge.switches, job_outcome="success")
    await stage.pass_time(25 * HOUR)

    assert await stage.figures() == stage.x.truth()
    assert all(day.fetched_at for day in (await stage.days()).values())


async def test_history_is_planned_again_after_x_refused_a_part_of_it():
    stage = FetchStage(history=90)
    for ago in (1, 20, 40, 55, 80):
        planted(stage, ago=ago, number=str(ago))
    ask, parts = stage.x.ask, []

    async def ask_with_a_refusal(inquiry):
        if ACTIVE in inquiry.url:
            parts.append(inquiry)
            if len(parts) == 3:  # after the last days, and the first part of the history
                stage.x.faults.append((ACTIVE, 403, {}))
        return await ask(inquiry)

    stage.x.ask = ask_with_a_refusal
    await stage.run()
    refused = await stage.account()

    await stage.pass_time(2 * HOUR)

    assert "has no access" in refused.problem
    assert await stage.figures() == stage.x.truth()
    assert all(day.fetched_at for day in (await stage.days()).values())


async def test_no_more_jobs_are_created_than_x_processes():
    stage = FetchStage("job_limit=4")
    planted(stage, ago=20)
    await stage.run()
    statuses = [job.status for job in (await stage.account()).jobs]
    assert statuses.count(JobStatus.PROCESSING) == 4

    for _ in range(3):
        await stage.clock.advance(MINUTE)
        await stage.run()

    assert (await stage.account()).jobs == ()
    assert await stage.figures() == stage.x.truth()


async def test_settled_days_are_not_fetched_again():
    stage = FetchStage(history=0)
    planted(stage)
    await stage.pass_time(20 * DAY, step=HOUR)
    fetched = (await stage.days())["2026-11-28"].fetched_at

    await stage.pass_time(12 * DAY, step=HOUR)

    assert (await stage.days())["2026-11-28"].fetched_at == fetched
    assert fetched < NOON + 16 * DAY


async def test_gateway_that_was_off_for_weeks_fetches_what_was_not_settled():
    stage = FetchStage()
    await stage.run()
    planted(stage, ago=0)
    spent(stage, "2026-11-29", 5_000_000)
    await stage.clock.advance(20 * DAY)

    await stage.run()
    await stage.pass_time(HOUR)

    assert await stage.figures() == stage.x.truth()
    assert all(
        day.is_spend_final for name, day in (await stage.days()).items() if name < "2026-12-15"
    )


async def test_deliveries_of_older_days_are_counted_and_kept():
    stage = FetchStage(history=0)
    stage.deliveries.delivered = [NOON - 3 * DAY, NOON - 3 * DAY + HOUR, NOON - DAY, NOON]
    await stage.run()
    first = await counted(stage)
    stage.deliveries.delivered += [NOON - 3 * DAY, NOON - DAY]

    await stage.pass_time(DAY)
    second = await counted(stage)
    stage.deliveries.delivered.clear()  # the store forgets them
    await stage.pass_time(4 * DAY)

    # Those of the last days are counted when results are read.
    assert first == {"2026-11-26": 2}
    assert second == {"2026-11-26": 3, "2026-11-28": 2}
    assert (await counted(stage))["2026-11-26"] == 3


async def counted(stage):
    return {
        name: day.delivered[0].count for name, day in (await stage.days()).items() if day.delivered
    }


async def test_figures_that_are_null_are_none():
    stage = FetchStage("stats_nulls=on", history=0)
    planted(stage)

    await stage.run()

    assert await stage.figures() == {}
    cells = [cell for day in (await stage.days()).values() for cell in day.cells]
    assert cells
    assert all(not cell.events and cell.spend_micro is None for cell in cells)


async def test_days_on_which_x_lists_a_campaign_as_active_are_marked():
    stage = FetchStage("stats_nulls=on", history=0)
    planted(stage, ago=4)
    planted(stage, ago=2, number="2")
    await stage.run()

    active = {name[8:]: day.is_active for name, day in (await stage.days()).items()}

    assert {name for name, is_active in active.items() if is_active} == {"25", "26", "27"}
    assert active["24"] is active["28"] is active["29"] is False


async def test_days_have_the_limits_of_a_changed_time_zone():
    stage = FetchStage(history=20)
    for ago in (1, 2, 18):
        planted(stage, ago=ago, number=str(ago))
    await stage.run()
    await stage.pass_time(MINUTE, step=MINUTE)
    before = await stage.days()
    stage.x.judge.world.merge({"accounts": [{"id": ACCOUNT, "timezone": "Asia/Tokyo"}]})

    await stage.pass_time(25 * HOUR)
    await stage.pass_time(5 * MINUTE, step=MINUTE)

    days = await stage.days()
    assert {day.start % DAY for day in before.values()} == {0}
    assert {day.start % DAY for day in days.values()} == {15 * HOUR}
    assert await stage.figures() == stage.x.truth()


async def test_gateway_that_does_not_lead_asks_nothing():
    stage = FetchStage()
    stage.leads = False

    assert not await stage.run()
    assert stage.x.asked == []


def test_accounts_need_oauth_and_a_name():
    oauth, token = a_destination_with_oauth(), a_destination()
    both = replace(
        token, account="b", credentials=PixelToken(token=Secret("t")), fallback=oauth.credentials
    )

    assert signed_in_accounts([oauth, replace(token, account="a")]) == {}
    assert signed_in_accounts([replace(oauth, account="a"), both]) == {
        "a": oauth.credentials,
        "b": oauth.credentials,
    }
