"""A month of an ads account: what Twite shows at its end equals the emulator's truth."""

from collections import Counter

import pytest
from ads_account import (
    DAY,
    HOUR,
    AdsAccount,
    SimulatedGateway,
    added,
    delivered,
    shown,
    sums_of,
    truth,
)
from gateway_processes import wait_for

pytestmark = pytest.mark.journey

# A midnight in Berlin, 15 days before daylight saving time ends there.
START = 1_791_583_200
DAYS = 30
CUT_OVER = 15
# Half an hour after midnight while daylight saving time lasts, and half an hour before it later.
NEAR_MIDNIGHT = HOUR // 2
# Of both campaigns, by placement and group of metrics, for the days that a gateway finds.
FIRST_JOBS = 3 * 2


@pytest.fixture
def account(x_emulator, tmp_path):
    x_emulator.switch(job_seconds=90, stats_delay=600)
    gateway = SimulatedGateway(tmp_path, x_emulator.url)
    yield AdsAccount(x_emulator, gateway, start=START)
    gateway.__exit__()


def live_without_a_gateway(account, *, days):
    """Let X's pixel report what shoppers buy; the account ends at noon of the last day."""
    for day in range(days):
        account.move(START + day * DAY + NEAR_MIDNIGHT - account.now)
        account.spend()
        account.sell(by_pixel=True)
        account.move(12 * HOUR - NEAR_MIDNIGHT)


def test_month_with_a_cut_over_an_outage_a_limit_and_expired_jobs_equals_the_truth(account):
    x = account.x
    x.switch(estimate_share=0.6, spend_excess=0.05, job_ttl=HOUR)
    live_without_a_gateway(account, days=CUT_OVER)
    account.gateway.start()
    # These jobs expire in the first half day that passes; those that replace them do not.
    wait_for(lambda: new_jobs(x).total() == FIRST_JOBS, account.gateway.ended)
    x.switch(job_ttl=2 * DAY)
    problems = set()
    for day in range(CUT_OVER, DAYS):
        if day == CUT_OVER + 3:
            meet_the_limit_of_statistics(account)
        if day == CUT_OVER + 5:
            x.fault("status", on="analytics", count=0, headers={"retry-after": "1800"})
        if day == CUT_OVER + 7:
            x.clear_faults()
        account.pass_time(START + day * DAY + NEAR_MIDNIGHT - account.now)
        account.spend()
        account.sell()
        account.pass_time(12 * HOUR - NEAR_MIDNIGHT)
        problems.add(account.results()["problem"])
    during = shown(account.results())
    for _ in range(10):
        account.pass_time(12 * HOUR)

    found = account.results()

    assert during != shown(found)
    assert len(problems) == 2
    assert len(shown(found)) >= DAYS
    assert shown(found) == truth(x)
    assert found["problem"] == ""
    assert found["cut_over"] == "2026-10-25"
    assert delivered(found) == account.posted
    assert_totals(found, truth(x), cut_over=found["cut_over"])
    assert_final(found["days"])
    assert list(new_jobs(x).values())[:FIRST_JOBS] == [2] * FIRST_JOBS
    assert any_asked(x, status=429)
    assert any_asked(x, status=503)
    assert x.asked()["early"] == 0


def meet_the_limit_of_statistics(account):
    """Let the gateway fetch within a low limit, in steps that are shorter than X's window."""
    account.x.switch(stats_limit=5)
    account.pass_time(2 * HOUR)
    assert "request limit" in account.results()["problem"]
    account.pass_until(lambda: not account.results()["problem"], seconds=200)
    account.x.switch(stats_limit=250)


def assert_totals(found, figures, *, cut_over):
    """Each total and each campaign of the report is the sum of its days."""
    assert sums_of(found["total"]) == added(figures)
    assert sums_of(found["total_before_cut_over"]) == added(figures, until=cut_over)
    assert sums_of(found["total_after_cut_over"]) == added(figures, since=cut_over)
    assert len(found["campaigns"]) == 2
    for campaign in found["campaigns"]:
        assert sums_of(campaign) == added(figures, campaign=campaign["campaign"])


def assert_final(days):
    """X changes what ended less than a day ago, and spend of less than three days ago.

    A day stays in this state until the daily fetch after it.
    """
    assert all(day["fetched"] for day in days)
    assert [day["estimate"] for day in days[-3:]] == [False, True, True]
    assert not any(day["estimate"] for day in days[:-2])
    assert not any(day["spend_final"] for day in days[-4:])
    assert all(day["spend_final"] for day in days[:-5])


def test_jobs_that_fail_and_expire_are_repeated_until_the_history_is_complete(account):
    x = account.x
    live_without_a_gateway(account, days=20)
    x.switch(job_ttl=0, job_seconds=900, job_limit=3)
    account.gateway.start()
    account.pass_time(60)
    recent = shown(account.results())
    account.pass_until(lambda: new_jobs(x).total() >= 12)
    x.switch(job_outcome="failed")
    account.pass_until(lambda: new_jobs(x).total() >= 18)
    x.switch(job_ttl=2 * DAY, job_limit=100, job_outcome="success")
    account.sell()

    account.pass_until(account.is_equal, seconds=1800)

    assert 0 < len(recent) < len(truth(x))
    assert any_asked(x, status=400)
    assert x.asked()["early"] == 0


def new_jobs(x):
    """How often X was asked to create each job."""
    return Counter(entry["query"] for entry in x.asked()["entries"] if entry["method"] == "POST")


def any_asked(x, *, status):
    """Whether X has answered a request for analytics with this status."""
    return str(status) in x.asked()["answers"]
