"""X's 429 and 503: nothing is asked before the time that X names, also after a restart."""

import asyncio
from email.utils import formatdate

import pytest
from msgspec.structs import replace

from results_stage import ACCOUNT, ACTIVE, NOON, STATS, FetchStage, asked, planted
from twite.domain.times import HOUR, MINUTE, SECOND


async def test_no_request_is_sent_before_x_s_reset():
    stage = FetchStage(history=0)
    planted(stage)
    reset = NOON // SECOND + 700
    stage.x.faults.append((STATS, 429, {"x-rate-limit-reset": str(reset)}))

    await stage.run()

    first, *later = asked(stage, ACTIVE) + asked(stage)
    assert first < reset * SECOND
    assert [at for at, *_ in stage.x.asked if first < at < reset * SECOND] == []
    assert min(at for at in later if at > first) >= reset * SECOND
    assert await stage.figures() == stage.x.truth()
    assert (await stage.account()).problem == ""


async def test_restart_does_not_forget_how_long_to_wait():
    stage = FetchStage(history=0)
    reset = NOON // SECOND + 700
    stage.x.faults.append((ACTIVE, 429, {"x-rate-limit-reset": str(reset)}))
    task = asyncio.create_task(stage.fetch().run())
    await stage.clock.advance(SECOND)
    task.cancel()
    await asyncio.wait([task])
    count = len(stage.x.asked)

    for _ in range(11):
        assert not await stage.run()
        await stage.clock.advance(MINUTE)

    assert len(stage.x.asked) == count
    assert "request limit" in (await stage.account()).problem
    await stage.clock.advance(MINUTE)
    assert await stage.run()


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (429, "x-rate-limit-reset"), (429, "retry-after"), (503, "retry-after"),
        (429, "retry-after as a date"), (503, "retry-after as a date"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("hours", [2, 24])
async def test_wait_of_hours_ends_when_x_says_even_with_restarts(status, header, hours):
    stage = FetchStage(history=0)
    planted(stage)
    seconds = hours * 3_600
    value = {
        "x-rate-limit-reset": str(NOON // SECOND + seconds),
        "retry-after": str(seconds),
        "retry-after as a date": formatdate(NOON // SECOND + seconds, usegmt=True),
    }[header]
    stage.x.faults.append((ACTIVE, status, {header.partition(" ")[0]: value}))
    await stage.run()  # each is a new fetch, as after a restart
    count = len(stage.x.asked)

    await stage.pass_time(hours * HOUR - SECOND, step=20 * MINUTE - 1)
    during = len(stage.x.asked)
    await stage.pass_time(MINUTE, step=MINUTE)

    assert during == count
    assert min(at for at, *_ in stage.x.asked[count:]) >= NOON + hours * HOUR
    assert await stage.figures() == stage.x.truth()
    assert (await stage.account()).problem == ""


async def test_reset_in_the_far_future_is_ignored_and_is_in_the_problem():
    stage = FetchStage(history=0)
    stage.x.faults += [(ACTIVE, 429, {"x-rate-limit-reset": "4102444800"})] * 5
    await stage.run()

    account = await stage.account()

    assert "x-rate-limit-reset is more than 24 hours ahead, so it is ignored" in account.problem
    assert stage.clock.now() <= account.wait_until <= stage.clock.now() + 2 * MINUTE


async def test_503_waits_for_retry_after():
    stage = FetchStage(history=0)
    stage.x.faults.append((f"/12/accounts/{ACCOUNT}", 503, {"retry-after": "90"}))

    await stage.run()

    times = [at - NOON for at, *_ in stage.x.asked]
    assert times[0] == 0
    assert times[1] >= 90 * SECOND


async def test_outage_is_a_problem_of_the_account_until_it_ends():
    stage = FetchStage(history=0)
    stage.x.faults += [("/12/accounts", 500, {})] * 5

    await stage.run()

    assert "no valid response from X: 500" in (await stage.account()).problem
    await stage.clock.advance(2 * MINUTE)
    await stage.run()
    assert (await stage.account()).problem == ""


async def test_time_zone_that_the_machine_does_not_know_is_a_problem_of_the_account():
    stage = FetchStage(history=0)
    ask = stage.x.ask

    async def asked_on_mars(inquiry):
        answered = await ask(inquiry)
        return replace(answered, body=answered.body.replace(b"Europe/London", b"Mars/Olympus"))

    stage.x.ask = asked_on_mars
    await stage.run()

    assert (await stage.account()).problem == (
        "this machine does not know the time zone 'Mars/Olympus' of the ads account. Install its "
        "time zones, for example with apt install tzdata"
    )


async def test_refusal_is_a_problem_and_is_not_repeated_for_an_hour():
    stage = FetchStage(history=0)
    stage.x.faults.append(("/12/accounts", 401, {}))

    await stage.run()

    assert "X refused the credentials" in (await stage.account()).problem
    await stage.clock.advance(HOUR - 2 * SECOND)
    assert not await stage.run()
    await stage.clock.advance(2 * SECOND)
    assert await stage.run()
